# AArch64 programs by Debian's cross compiler, run by qemu. XSOFTMAX_QEMU_CPU is qemu's -cpu.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
# g++ notes what it passed otherwise before version 10.
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)
set(XSOFTMAX_QEMU_CPU max CACHE STRING "The processor that qemu is to be")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu ${XSOFTMAX_QEMU_CPU})
