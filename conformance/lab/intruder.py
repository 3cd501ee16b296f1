"""Makes a thread of another process ask the kernel for something, as somebody who has taken it over would (x86-64)."""
import ctypes
import os

ATTACH, CONT, GETREGS, SETREGS = 16, 7, 12, 13
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs").split()


class Registers(ctypes.Structure):
    """struct user_regs_struct."""
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


def ask(pid, number):
    """The system call `number` in the thread `pid`, which waits in one. How the thread ended (as waitpid tells it), or None if it still lives."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(request, data=None):
        if libc.ptrace(request, pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    ptrace(ATTACH)
    os.waitpid(pid, 0x40000000)
    registers = Registers()
    ptrace(GETREGS, ctypes.addressof(registers))
    # back to the instruction that brought it into the kernel, with another number
    registers.rip -= 2
    registers.rax, registers.orig_rax = number, (1 << 64) - 1
    registers.rdi = registers.rsi = registers.rdx = 0
    ptrace(SETREGS, ctypes.addressof(registers))
    ptrace(CONT)
    _, status = os.waitpid(pid, 0x40000000)
    return os.waitstatus_to_exitcode(status) if os.WIFSIGNALED(status) else None
