"""What a user relies on, with the installed package and this machine's compiler."""

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import artifact

FIXTURES = Path(os.environ.get("ARTIFACT_FIXTURES", Path(__file__).resolve().parents[2] / "tests/fixtures"))
SOURCE = """
#include <stdint.h>
int host(int);
int64_t fib(int64_t n) { int64_t a = 0, b = 1; while (n-- > 0) b += a, a = b - a; return a; }
int twice(int n) { return 2 * host(n); }
"""
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


class Files(unittest.TestCase):
    """A folder with a compiled object, and an artifact of it."""

    temporary: "tempfile.TemporaryDirectory[str]"
    folder: Path
    object: Path
    file: Path
    host: artifact.Engine

    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.object = cls.folder / "code.o"
        (cls.folder / "code.c").write_text(SOURCE)
        command = ["cc", "-O2", "-fPIC", "-c", "code.c", "-o", "code.o"]
        subprocess.run(command, cwd=cls.folder, check=True)
        cls.host = artifact.Engine.host()
        cls.file = cls.folder / "code.artifact"
        builder = artifact.pack([cls.object])
        builder.set_attribute("source", b"fib")
        builder.save(cls.file, sync=False)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()


class Reading(Files):
    def test_contents(self) -> None:
        with artifact.open(self.file, self.host) as file:
            self.assertEqual(file.producer, "artifact")
            self.assertEqual(file.version, b"1")
            self.assertIn("linux", file.target)
            self.assertEqual(file.attributes, {"source": b"fib"})
            self.assertEqual(len(file), self.file.stat().st_size)
            self.assertEqual(file.integrity, artifact.Integrity.DIGESTS)
            self.assertIsNone(file.signed_by)
            self.assertEqual((file.flags, file.isa_flags), ({}, {}))
            module = file.main_module
            self.assertEqual(bytes(module.bytes[:4]), b"\x7fELF")
            self.assertIn(".text", [section.name for section in module.sections])
            self.assertGreater(module.section(".text").size, 0)
            self.assertIn("fib", [symbol.name for symbol in module.symbols])
            with self.assertRaises(artifact.NotFound):
                module.section(".nothing")
            self.assertEqual(len(file.variants), 1)
            self.assertEqual(file.report(self.host), [])
            self.assertEqual(file.host_report(), [])
            self.assertEqual(file.verify(), [])

    def test_a_genuine_file_of_wasmtime(self) -> None:
        files = sorted(FIXTURES.glob("*.cwasm")) + sorted(FIXTURES.glob("*/*.cwasm"))
        found = [path for path in files if artifact.detect(path) == artifact.Kind.WASMTIME_MODULE]
        self.assertTrue(found, "no file of today's Wasmtime")
        wasm = artifact.Cwasm(found[0])
        self.assertRegex(wasm.version, r"^\d+")
        self.assertIn("-", wasm.target)
        self.assertIsInstance(wasm.settings, dict)

    def test_bytes_outlive_the_artifact(self) -> None:
        file = artifact.open(self.file.read_bytes())
        view = file.main_module.bytes
        file.close()
        with self.assertRaises(artifact.InvalidArgument):
            _ = file.producer
        del file
        gc.collect()
        self.assertEqual(bytes(view[1:4]), b"ELF")
        with self.assertRaises(TypeError):
            view[0] = 0

    def test_every_way_to_open(self) -> None:
        with open(self.file, "rb") as opened:
            self.assertEqual(artifact.open(opened.fileno()).producer, "artifact")
        inside = self.folder / "inside"
        inside.write_bytes(b"x" * 4096 + self.file.read_bytes() + b"y")
        with artifact.open(inside, offset=4096, length=self.file.stat().st_size, verify=True, copy=True) as file:
            self.assertEqual(file.producer, "artifact")

    def test_errors(self) -> None:
        with self.assertRaises(artifact.FileError) as caught:
            artifact.open(self.folder / "none")
        self.assertEqual(caught.exception.status, artifact.Status.IO)
        self.assertEqual(caught.exception.errno, 2)
        with self.assertRaises(artifact.NotAnArtifact):
            artifact.open(b"no artifact at all" * 100)
        damaged = bytearray(self.file.read_bytes())
        damaged[200] ^= 1
        with self.assertRaises(artifact.Damaged) as changed:
            artifact.open(bytes(damaged), verify=True)
        self.assertIsNotNone(changed.exception.offset)
        other = artifact.Engine.host()
        other.producer = "other"
        with self.assertRaises(artifact.Incompatible) as foreign:
            artifact.open(self.file, other)
        self.assertEqual(foreign.exception.status, artifact.Status.WRONG_PRODUCER)


class Engines(unittest.TestCase):
    def test_settings(self) -> None:
        engine = artifact.Engine()
        engine.producer, engine.version = "mine", "7"
        engine.set_flag("opt", 3)
        engine.set_flag("mode", "fast")
        engine.set_flag("avx", True, isa=True)
        self.assertEqual(engine.flags, {"opt": 3, "mode": "fast"})
        self.assertEqual(engine.isa_flags, {"avx": True})
        copy = artifact.Engine.from_json(engine.to_json())
        self.assertEqual((copy.producer, copy.version, copy.flags), ("mine", "7", {"opt": 3, "mode": "fast"}))
        self.assertEqual(copy.fingerprint, engine.fingerprint)
        copy.unset_flag("opt")
        self.assertNotEqual(copy.fingerprint, engine.fingerprint)
        with self.assertRaises(ValueError):
            engine.set_flag("opt", 256)
        with self.assertRaises(artifact.InvalidArgument):
            engine.target = "nonsense"
        self.assertEqual(engine.for_host().producer, "mine")

    def test_cpus(self) -> None:
        engine = artifact.Engine()
        engine.target = "x86_64-unknown-linux-gnu"
        engine.set_cpu("x86-64-v3")
        self.assertTrue(engine.isa_flags["avx2"])


class Loading(Files):
    def test_functions_keep_the_code(self) -> None:
        with artifact.open(self.file, self.host) as file:
            code = file.load(self.host, symbols={"host": FUNCTION(lambda n: n + 1)})
        fib = code.function("fib", ctypes.c_int64, ctypes.c_int64)
        twice = code.function("twice", ctypes.c_int, ctypes.c_int)
        name, offset = code.symbolize(code.address("fib") + 1) or ("", 0)
        self.assertEqual((name, offset), ("fib", 1))
        self.assertIsNone(code.symbolize(ctypes.addressof(ctypes.c_int())))
        with self.assertRaises(artifact.NotFound):
            code.function("nothing")
        code.close()
        with self.assertRaises(artifact.InvalidArgument):
            code.address("fib")
        del code
        gc.collect()
        self.assertEqual(fib(90), 2880067194370816120)
        self.assertEqual(twice(20), 42)

    def test_missing_symbols(self) -> None:
        with self.assertRaises(artifact.Unresolved) as caught:
            artifact.open(self.file).load(self.host)
        self.assertEqual(caught.exception.missing, ("host",))

    def test_a_part(self) -> None:
        builder = artifact.Builder()
        for _ in range(3):
            builder.add_objects([self.object])
        file = artifact.open(builder.serialize(), self.host)
        code = file.load(self.host, modules=[1], symbols={"host": FUNCTION(lambda n: n)}, allow_memfd=True)
        self.assertEqual(code.function("fib", ctypes.c_int64, ctypes.c_int64, module=1)(10), 55)
        with self.assertRaises(artifact.NotFound):
            code.address("fib", module=0)

    def test_threads(self) -> None:
        code = artifact.open(self.file).load(self.host, symbols={"host": FUNCTION(lambda n: n)})
        fib = code.function("fib", ctypes.c_int64, ctypes.c_int64)
        results = []
        threads = [threading.Thread(target=lambda: results.append(fib(50))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [12586269025] * 8)


class Making(Files):
    def test_signatures(self) -> None:
        key, stranger = artifact.PrivateKey.generate(), artifact.PrivateKey.generate()
        builder = artifact.Builder(artifact.open(self.file))
        builder.add_key(artifact.PrivateKey.from_pem(key.to_pem()))
        signed = builder.serialize()
        with artifact.open(signed, self.host, trust=key.public_pem) as file:
            self.assertEqual(file.signed_by, key.public)
        self.assertEqual(self.host.trusted_keys, [], "the caller's engine does not change")
        with self.assertRaises(artifact.Untrusted):
            artifact.open(signed, self.host, trust=[stranger.public_pem])
        detached = artifact.open(self.file).sign(key)
        with artifact.open(self.file, self.host, trust=key.public_pem, signature=detached) as file:
            self.assertEqual(file.signed_by, key.public)
        with self.assertRaises(artifact.InvalidArgument):
            artifact.open(signed, trust=key.public_pem)
        path = self.folder / "key.pem"
        key.save(path)
        self.assertEqual(path.stat().st_mode & 0o77, 0)

    def test_several_targets(self) -> None:
        fat = artifact.FatBuilder()
        for cpu in ("x86-64", "x86-64-v4"):
            engine = artifact.Engine()
            engine.target = "x86_64-unknown-linux-gnu"
            engine.set_cpu(cpu)
            fat.add(artifact.pack([self.object], engine))
        file = artifact.open(fat.serialize(), variant=1)
        self.assertEqual(file.variant, 1)
        self.assertEqual(len(file.variants), 2)
        self.assertIn("avx512f", file.variants[0].needs)

    def test_what_cannot_be_linked_says_what_to_do(self) -> None:
        (self.folder / "data.c").write_text("extern int far; int *get(void) { return &far; }")
        subprocess.run(["cc", "-O2", "-fno-pic", "-c", "data.c", "-o", "data.o"], cwd=self.folder, check=True)
        with self.assertRaisesRegex(artifact.Error, "-fPIC"):
            artifact.pack([self.folder / "data.o"])


class Caching(Files):
    def setUp(self) -> None:
        self.made = 0

    def make(self, builder: artifact.Builder) -> None:
        self.made += 1
        builder.add_objects([self.object])

    def test_code_is_made_once(self) -> None:
        events = []
        cache = artifact.Cache(self.folder / "cache", on_event=lambda *event: events.append(event[0]))
        for _ in range(3):
            file = cache.get_or_make({"source": b"x", "options": b"-O2"}, self.make)
            self.assertEqual(file.producer, "artifact")
        self.assertEqual(self.made, 1)
        self.assertEqual(cache.counts[artifact.Outcome.HIT], 2)
        self.assertIn(artifact.Outcome.MADE, events)
        self.assertEqual(len(cache.entries), 1)
        self.assertIsNone(cache.get("other"))
        pack = self.folder / "cache.pack"
        cache.export(pack)
        layered = artifact.Cache(self.folder / "empty", layers=[pack])
        self.assertIsNotNone(layered.get({"source": b"x", "options": b"-O2"}))
        cache.remove({"source": b"x", "options": b"-O2"})
        self.assertIsNone(cache.get({"source": b"x", "options": b"-O2"}))
        self.assertEqual(cache.put("mine", artifact.pack([self.object])).producer, "artifact")
        self.assertEqual(cache.trim(), 0)
        cache.check()

    def test_exceptions_pass_through(self) -> None:
        cache = artifact.Cache(self.folder / "failing")

        def fail(builder: artifact.Builder) -> None:
            raise ZeroDivisionError("in the compiler")

        with self.assertRaisesRegex(ZeroDivisionError, "in the compiler"):
            cache.get_or_make("key", fail)
        with self.assertRaises(artifact.Error):
            cache.get_or_make("key", lambda builder: builder.add_objects({"no object": b"x"}))
        self.assertEqual(cache.entries, [])

    def test_children_use_it(self) -> None:
        cache = artifact.Cache(self.folder / "forked")
        cache.get_or_make("key", self.make)
        child = os.fork()
        if child == 0:
            code = cache.get_or_make("key", self.make).load(self.host, symbols={"host": 1})
            os._exit(0 if code.function("fib", ctypes.c_int64, ctypes.c_int64)(10) == 55 else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)


class Commands(Files):
    def run_command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "artifact", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_commands(self) -> None:
        shown = self.run_command("inspect", str(self.file))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("attribute source: 3 bytes", shown.stdout)
        self.assertIn("compatible", self.run_command("check", str(self.file)).stdout)
        self.assertIn("sound", self.run_command("verify", str(self.file)).stdout)
        self.assertEqual(self.run_command("verify", "/bin/true").returncode, 3)


if __name__ == "__main__":
    unittest.main()
