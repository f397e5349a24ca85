"""What the programs of benchmarks wrote: results by operation, type, shape and contender."""

import json
import os
import re

YARDSTICK = "plain loop, degree 5"


def core(cpu):
    """What a processor is called in names of folders: "amd-epyc-zen5". AMD's machines in clouds tell their family only."""
    name, family, model = re.fullmatch(r"(.*?)(?: \(family (\d+), model (\d+)\))?", cpu).groups()
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*|\d+-Core.*", " ", name)
    if name.startswith("AMD") and family in ("23", "25", "26"):
        model = int(model)
        zen = {"23": 2 if model >= 48 else 1, "25": 4 if 16 <= model < 32 or model >= 96 else 3, "26": 5}[family]
        name = f"{' '.join(name.split()[:2])} zen{zen}"
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def shape_name(entry):
    if entry.get("inner", 1) != 1:
        return f"{entry['rows']}x{entry['columns']}x{entry['inner']}"
    return str(entry["columns"]) if entry["rows"] == 1 else f"{entry['rows']}x{entry['columns']}"


def is_sweep(contender):
    """Is it a single sweep, forced by name? Files of before 2026-12 have such: they are left out."""
    return bool(contender.get("regime"))


class Document:
    """One file."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        if data.get("format") != 1:
            raise SystemExit(f"{path}: not a file of these benchmarks")
        self.path = path
        self.question = data["question"]
        self.date = data["date"]
        self.commit = data.get("commit")
        self.effort = data["effort"]
        self.machine = data["machine"]
        self.contenders = {c["label"]: c for c in data["contenders"]}
        self.speed = data.get("speed", [])
        self.accuracy = data.get("accuracy", [])
        self.distributions = data.get("distributions", [])
        self.edges = data.get("edges", [])

        # (operation, type) -> contender -> shape -> entry
        self._by_block = {}
        for entry in self.speed:
            block = self._by_block.setdefault((entry["operation"], entry["type"]), {})
            shapes = block.setdefault(entry["contender"], {})
            shapes[entry["rows"], entry["columns"], entry["inner"]] = entry

    def has(self, operation, element="float"):
        return (operation, element) in self._by_block

    def labels(self, operation, element="float"):
        """Contenders with results, in the file's order."""
        block = self._by_block.get((operation, element), {})
        return [label for label in self.contenders if label in block]

    def kind(self, label):
        return self.contenders[label]["kind"]

    @property
    def architecture(self):
        """The instruction set of what was measured as plain xsoftmax."""
        return self.contenders["xsoftmax"]["architecture"]

    def is_peer(self, label):
        """Of the same instruction set, or of one that it chooses itself: the yardstick is there for every one."""
        contender = self.contenders[label]
        return contender["kind"] == "peer" and contender["architecture"] in ("", self.architecture)

    def _shapes(self, operation, element, label):
        return self._by_block.get((operation, element), {}).get(label, {})

    def _entry(self, operation, element, label, shape):
        return self._shapes(operation, element, label).get(shape if len(shape) == 3 else (*shape, 1))

    def ns(self, operation, element, label, shape):
        """Nanoseconds of a call; None where it was not measured."""
        entry = self._entry(operation, element, label, shape)
        return None if entry is None else entry["ns"]

    def is_disturbed(self, operation, element, label, shape):
        """Is the figure not to be trusted?"""
        entry = self._entry(operation, element, label, shape)
        return entry is not None and entry["disturbed"]

    def ns_per_element(self, operation, element, label, shape):
        ns = self.ns(operation, element, label, shape)
        elements = 1
        for extent in shape:
            elements *= extent
        return None if ns is None else ns / elements

    def rows(self, operation, element, label):
        """Lengths of single rows and their nanoseconds an element."""
        return [(shape[1], entry["ns"] / shape[1])
                for shape, entry in sorted(self._shapes(operation, element, label).items())
                if shape[0] == 1 and shape[2] == 1]

    def batches(self, operation, element="float"):
        """Shapes of more than one row, in the file's order."""
        shapes = {}
        for entry in self.speed:
            if (entry["operation"], entry["type"]) == (operation, element) and entry["rows"] > 1 and entry["inner"] == 1:
                shapes[entry["rows"], entry["columns"]] = None
        return list(shapes)

    def errors(self, operation, element, label, distribution=None, which="max_ulp"):
        """Lengths and the largest error in ULP, or the largest of the mean errors ("mean_ulp"); None where a result is NaN
        that should not be."""
        lengths = {}
        for entry in self.accuracy:
            if (entry["operation"], entry["type"], entry["contender"]) != (operation, element, label):
                continue
            errors = [error for name, error in zip(self.distributions, entry[which])
                      if error is not None and distribution in (None, name)]
            if errors:
                lengths[entry["columns"]] = None if "NaN" in errors else max(errors)
        return sorted(lengths.items())

    def errors_at(self, operation, element, label, n, which="max_ulp"):
        """The same by distribution at one length."""
        for entry in self.accuracy:
            if (entry["operation"], entry["type"], entry["contender"], entry["columns"]) == (operation, element, label,
                                                                                            n):
                return {name: None if error == "NaN" else error
                        for name, error in zip(self.distributions, entry[which]) if error is not None}
        return {}


class Report:
    """The files of one processor; a question that was not asked is None."""

    def __init__(self, paths):
        self.documents = [Document(path) for path in paths]
        for document in self.documents[1:]:
            different = [name for name in document.machine if document.machine[name] != self.machine.get(name)]
            if different:
                raise SystemExit(f"{document.path}: another {' and '.join(different)} than {self.documents[0].path}")
        by_question = {document.question: document for document in self.documents}
        self.kernels = by_question.get("kernels")
        self.libraries = by_question.get("libraries")
        self.accuracy = by_question.get("accuracy")

    @property
    def machine(self):
        return self.documents[0].machine

    @property
    def architecture(self):
        return self.documents[0].architecture

    @property
    def processor(self):
        """The name of its folder."""
        return f"{core(self.machine['CPU'])}-{self.architecture}"

    @property
    def commits(self):
        """What was measured, where it is known."""
        return sorted({document.commit for document in self.documents if document.commit})


def read_reports(paths):
    """A report of each folder, and one of the single files. The order of columns: the widest instruction set last."""
    files = [path for path in paths if not os.path.isdir(path)]
    reports = [Report(files)] if files else []
    for folder in paths:
        if os.path.isdir(folder):
            found = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
            if not found:
                raise SystemExit(f"{folder}: no files of these benchmarks")
            reports.append(Report(found))
    return sorted(reports, key=lambda report: (report.processor.split("-")[:-1], report.architecture != "sse2",
                                               report.architecture == "avx512"))


def column_names(reports):
    """Instruction sets; with the processor where there are several."""
    several = len({report.machine["CPU"] for report in reports}) > 1
    return [f"{report.processor.split('-')[-2]} {report.architecture}" if several else report.architecture
            for report in reports]
