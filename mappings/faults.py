"""What is wrong in mapping files, told so that a person can mend it: file, line, key, what, remedy."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Fault:
    """One fault (or warning). `file` is relative to the mappings folder, `line` counts from 1 (0 = the whole file), `key` is dotted."""

    file: str
    line: int
    key: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" `{self.key}`" if self.key else ""
        return f"{place}{key}: {self.text}" + (f" → {self.remedy}" if self.remedy else "")


class MappingFaults(Exception):
    """The mapping files cannot be used. `faults` holds every fault of every file, in order of file and line."""

    def __init__(self, folder: str, faults: Iterable[Fault]) -> None:
        self.folder = folder
        self.faults = sorted(set(faults))
        many = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{many} in the mappings under {folder}", *map(str, self.faults)]))
