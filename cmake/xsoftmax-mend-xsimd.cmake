# Some packages of xsimd (Debian 12's 8.1 is one) link a library xtl that they neither find nor need: where no target
# has that name, the linker would look for -lxtl.
get_target_property(xsoftmax_xsimd_links xsimd INTERFACE_LINK_LIBRARIES)
if("xtl" IN_LIST xsoftmax_xsimd_links AND NOT TARGET xtl)
    list(REMOVE_ITEM xsoftmax_xsimd_links xtl)
    set_target_properties(xsimd PROPERTIES INTERFACE_LINK_LIBRARIES "${xsoftmax_xsimd_links}")
endif()
unset(xsoftmax_xsimd_links)
