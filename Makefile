# make demo: map the sample reads and draw their coverage    make test: all tests    make lint: style and types
PYTHON ?=
VENV := .venv
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools
GENOSEQ := $(VENV)/bin/genoseq

.PHONY: demo test lint clean

$(STAMP): pyproject.toml .ci/setup.sh
	PYTHON="$(PYTHON)" .ci/setup.sh $(VENV)
	touch $@

$(TOOLS): $(STAMP)
	PYTHON="$(PYTHON)" .ci/setup.sh $(VENV) test,dev
	touch $@

# The demo registers its index in a place of its own: the user's indexes stay as they are.
demo: export GENOSEQ_HOME := $(CURDIR)/demo/home
demo: $(STAMP)
	mkdir -p demo
	$(GENOSEQ) index data/portiera.fna.gz -o demo/index
	$(GENOSEQ) align -x demo/index data/portiera_R1.fastq.gz data/portiera_R2.fastq.gz -o demo/reads.bam --sort \
	    --summary demo/summary.json --coverage demo/coverage.png

test: $(TOOLS)
	$(VENV)/bin/python -m pytest

lint: $(TOOLS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find genoseq tests pipelines -name __pycache__ -type d -prune -exec rm -rf {} +
