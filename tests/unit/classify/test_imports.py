from __future__ import annotations

import subprocess
import sys


def test_no_module_of_classification_imports_torch_or_transformers() -> None:
    code = """
import importlib, pkgutil, sys
import genoseq.classify
for module in pkgutil.iter_modules(genoseq.classify.__path__):
    importlib.import_module(f"genoseq.classify.{module.name}")
print([name for name in ("torch", "transformers", "faiss", "pysam") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
