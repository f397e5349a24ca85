// What a unit must not have: a function of its own that all units share.
struct planted {
    float value;
    planted operator*(planted x) const { return {value * x.value}; }
};

planted twice(planted x) { return x * planted{2}; }
