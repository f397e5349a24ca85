# Writes the commit of SOURCE to OUTPUT, as a string for C++: empty where git or its repository are not there. Runs in every
# build, since a commit need not be followed by a configuration; what has not changed is not written.

set(commit)
if(EXISTS ${SOURCE}/.git)  # and not a repository that an unpacked archive lies in
    execute_process(COMMAND git describe --always --dirty
        WORKING_DIRECTORY ${SOURCE}
        OUTPUT_VARIABLE commit
        OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_QUIET)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "\"${commit}\"\n" @ONLY)
