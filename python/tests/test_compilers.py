"""Code that llvmlite and numba compile: the second process runs it without LLVM."""

import subprocess
import sys
import tempfile
import textwrap
import unittest

COMMON = """
import ctypes, sys
import artifact

cache = artifact.Cache(sys.argv[1])
compiled = []
"""

LLVMLITE = (
    COMMON
    + """
IR = "define i64 @add(i64 %a, i64 %b) { %s = add i64 %a, %b ret i64 %s }"

def compile(builder):
    import llvmlite.binding as llvm
    compiled.append(1)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(reloc="pic", codemodel="small")
    builder.add_objects({"add": target.emit_object(llvm.parse_assembly(IR))})

add = cache.get_or_make(IR, compile).load().function("add", *[ctypes.c_int64] * 3)
assert add(40, 2) == 42
print(len(compiled), "llvmlite" in sys.modules)
"""
)

NUMBA = (
    COMMON
    + """
SOURCE = "def weighted(x, n): return sum(x * i for i in range(n))"

def compile(builder):
    import numba
    compiled.append(1)

    @numba.cfunc("float64(float64, int64)")
    def weighted(x, n):
        total = 0.0
        for i in range(n):
            total += x * i
        return total

    builder.set_attribute("function", weighted.native_name.encode())
    builder.add_objects({"weighted": weighted._library._get_compiled_object()})

file = cache.get_or_make(SOURCE, compile)
name = file.attributes["function"].decode()
weighted = file.load(process_symbols=True).function(name, ctypes.c_double, ctypes.c_double, ctypes.c_int64)
assert weighted(2.0, 10) == 90.0
print(len(compiled), "numba" in sys.modules)
"""
)


class Compilers(unittest.TestCase):
    def run_twice(self, program: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for expected in ("1 True", "0 False"):
                command = [sys.executable, "-c", textwrap.dedent(program), folder]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                self.assertEqual((done.stdout.strip(), done.stderr), (expected, ""))

    def test_llvmlite(self) -> None:
        self.run_twice(LLVMLITE)

    def test_numba(self) -> None:
        self.run_twice(NUMBA)


if __name__ == "__main__":
    unittest.main()
