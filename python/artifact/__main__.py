"""python -m artifact inspect|check|verify FILE...: a look at files, where the command `artifact` is not installed."""

import argparse
import sys
from typing import List

import artifact


def inspect(path: str) -> int:
    """Prints what is in a file."""
    if artifact.detect(path) in (artifact.Kind.WASMTIME_MODULE, artifact.Kind.WASMTIME_COMPONENT):
        wasm = artifact.Cwasm(path)
        print(f"{wasm.kind.name.lower().replace('_', ' ')} of version {wasm.version}, for {wasm.target}")
        return 0
    with artifact.open(path) as file:
        print(f"producer: {file.producer} {file.version.decode('utf-8', 'backslashreplace')}")
        print(f"target: {file.target}")
        print(f"integrity: {file.integrity.name.lower()}")
        for title, flags in (("flags", file.flags), ("ISA flags", file.isa_flags)):
            if flags:
                print(f"{title}: " + ", ".join(f"{name}={value}" for name, value in flags.items()))
        for name, value in file.attributes.items():
            print(f"attribute {name}: {len(value)} bytes")
        for module in file.modules:
            print(f"module {module.index}: {len(module.bytes)} bytes at {module.offset}")
        if len(file.variants) > 1:
            for number, variant in enumerate(file.variants):
                print(f"variant {number}: {variant.target} {' '.join(variant.needs)}")
    return 0


def check(path: str) -> int:
    """Tells whether this host can run the code."""
    with artifact.open(path, artifact.Engine.host() if _is_fat(path) else None) as file:
        findings = file.host_report()
    print(f"{path}: {findings[0].sentence if findings else 'compatible'}")
    return 1 if findings else 0


def verify(path: str) -> int:
    """Verifies every byte."""
    with artifact.open(path, read=True) as file:
        for finding in file.verify():
            print(f"{path}: warning: {finding.sentence}")
    print(f"{path}: sound")
    return 0


def _is_fat(path: str) -> bool:
    with artifact.open(path) as file:
        return len(file.variants) > 1


def main(arguments: List[str]) -> int:
    """Runs a command, and returns the exit status, which is that of the command `artifact`."""
    parser = argparse.ArgumentParser(prog="python -m artifact", description="Looks into artifacts.")
    parser.add_argument("command", choices=["inspect", "check", "verify"])
    parser.add_argument("file", nargs="+")
    parsed = parser.parse_args(arguments)
    worst = 0
    for path in parsed.file:
        try:
            status = {"inspect": inspect, "check": check, "verify": verify}[parsed.command](path)
        except artifact.Error as error:
            print(f"{path}: {error}", file=sys.stderr)
            kinds = (
                (artifact.Incompatible, 1),
                ((artifact.Damaged, artifact.NotAnArtifact), 3),
                (artifact.Untrusted, 4),
            )
            status = next((number for kind, number in kinds if isinstance(error, kind)), 5)
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
