"""Writes objects as LLVM's JITs make them, with llvmlite: llvm_jit.py TRIPLE FOLDER. Without llvmlite, writes nothing."""

import pathlib
import sys

try:
    import llvmlite.binding as llvm
except ImportError:
    sys.exit(0)

PROGRAM = """
@word = internal global i32 5
@pointer = global ptr @word
@host_number = external global i32
@functions = constant [2 x ptr] [ptr @seven, ptr @run]
@weak = extern_weak global i32
declare i32 @host_twice(i32)
define internal i32 @seven() noinline { ret i32 7 }
define i32 @pick(i32 %n) noinline {
    switch i32 %n, label %other [ i32 0, label %zero i32 1, label %one i32 2, label %two i32 3, label %three ]
zero:
    ret i32 10
one:
    %host = load i32, ptr @host_number
    ret i32 %host
two:
    ret i32 3
three:
    %word = load i32, ptr @word
    ret i32 %word
other:
    %missing = icmp eq ptr @weak, null
    %result = select i1 %missing, i32 77, i32 0
    ret i32 %result
}
define i32 @run() {
    %pointer = load ptr, ptr @pointer
    %a = load i32, ptr %pointer
    %b = load i32, ptr @host_number
    %c = call i32 @host_twice(i32 21)
    %function = load ptr, ptr @functions
    %d = call i32 %function()
    %e = call i32 @pick(i32 1)
    %f = call i32 @pick(i32 9)
    %ab = add i32 %a, %b
    %abc = add i32 %ab, %c
    %abcd = add i32 %abc, %d
    %abcde = add i32 %abcd, %e
    %sum = add i32 %abcde, %f
    ret i32 %sum
}
"""

triple, folder = sys.argv[1:]
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for jit, model, relocations in [
    (True, "jitdefault", "default"),
    (True, "large", "static"),
    (False, "large", "default"),
    (False, "large", "static"),
    (False, "large", "pic"),
    (False, "small", "pic"),
]:
    for level in (0, 2, 3):
        module = llvm.parse_assembly(PROGRAM)
        module.triple = triple
        machine = llvm.Target.from_triple(triple).create_target_machine(
            opt=level, reloc=relocations, codemodel=model, jit=jit
        )
        name = f"{'jit' if jit else 'aot'}-{model}-{relocations}-O{level}.o"
        pathlib.Path(folder, name).write_bytes(machine.emit_object(module))
