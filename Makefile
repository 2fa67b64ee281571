# Two commands do everything on a fresh machine: `make run` and `make test`.

PYTHON ?= python3
VENV   := .venv
VENV_BENCH := .venv-bench
VENV_LOAD := .venv-load
BIN    := $(VENV)/bin
CONFIG ?= config.ini
PORT   ?= 9101
# A process for each core, and what bounds a time when they are done. They start hundreds of others, which must not
# compile everything anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
BESIDE := $(PYTEST) -n auto --dist worksteal -m "not alone"
ALONE  := $(PYTEST) -m alone
# Found where they are used, installed with apt by `make test` if that is possible.
DEBIAN_TEST  := chromium curl nginx
DEBIAN_BENCH := wrk
DEBIAN_PROXY := wrk nginx haproxy curl

.PHONY: run share peer topology check test lint unit integration simulate fuzz chaos soak bench bench-full bench-quick bench-micro bench-observing bench-peers bench-logins bench-websockets bench-proxy load help clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

run: $(VENV)/.run  ## start the server on http://127.0.0.1:8000
	@exec $(BIN)/python -m reactor -c $(CONFIG)

share: $(VENV)/.run  ## let the others in the room join: asks for a password, prints addresses and a QR code
	@exec $(BIN)/python -m share -c $(CONFIG) $(ARGS)

peer: $(VENV)/.run  ## a chat peer in this terminal: make peer PORT=9101 NAME=Ann (ARGS="--tracker HOST:8000")
	@exec $(BIN)/python -m peer $(PORT) $(if $(NAME),--name "$(NAME)") $(ARGS)

topology: $(VENV)/.run  ## a proxy, two backends and a web application, shown and kept until Ctrl-C (ARGS="--proxy-port 8088")
	@exec $(BIN)/python examples/topology/run.py $(ARGS)

check: $(VENV)/.run  ## show what the config would do, and open nothing
	@$(BIN)/python -m reactor -c $(CONFIG) --check

test: $(VENV)/.test debian-test lint  ## everything: style, types, unit tests, real processes, a real browser
	$(BESIDE)
	$(ALONE)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(VENV)/.test  ## without ports and processes
	$(BESIDE) --ignore=tests/integration
	$(ALONE) --ignore=tests/integration

integration: $(VENV)/.test debian-test  ## real sockets, processes and a browser
	$(BESIDE) tests/integration
	$(ALONE) tests/integration

simulate: $(VENV)/.test  ## 10,000 schedules of everything that can go wrong between peers (SCHEDULES=, SEED=; 3 minutes)
	$(BIN)/python tests/simulation/simulate.py

fuzz: $(VENV)/.test  ## change bytes at random, led by coverage, until something breaks (SECONDS= for each, TARGET=)
	$(BIN)/python tests/fuzz/fuzz.py

chaos: $(VENV)/.test  ## ten real peers, killed and started again for half a minute
	CHAOS_SECONDS=30 $(PYTEST) tests/integration/test_peer_chaos.py

soak: $(VENV)/.test  ## 100,000 connections that come and go in every way, and then nothing of them is left (CONNECTIONS=)
	SOAK_CONNECTIONS=$(or $(CONNECTIONS),100000) $(PYTEST) tests/integration/test_leaks.py

# -- measuring: docs/benchmarks.md -----------------------------------------------------------------------------------

bench: $(VENV_BENCH)/.bench debian-bench  ## three scenarios against other servers, into docs/benchmarks.md (10 minutes)
	$(VENV_BENCH)/bin/python -m bench.compare main

bench-full: $(VENV_BENCH)/.bench debian-bench  ## every scenario (about an hour)
	$(VENV_BENCH)/bin/python -m bench.compare full

bench-quick: $(VENV_BENCH)/.bench debian-bench  ## a first look, printed only (under 2 minutes)
	$(VENV_BENCH)/bin/python -m bench.compare quick

bench-micro: $(VENV_BENCH)/.bench  ## single functions against the stored baseline
	$(VENV_BENCH)/bin/python -m bench.micro

bench-observing: $(VENV)/.run debian-bench  ## what the access log and the numbers cost for each request (6 minutes)
	$(BIN)/python -m bench.observing

bench-peers: $(VENV)/.run  ## the chat peer beside a bare loop and a thread for each link, into docs/benchmarks.md (4 minutes)
	$(BIN)/python -m bench.peers

bench-websockets: $(VENV_BENCH)/.bench  ## WebSockets beside a bare loop, websockets and aiohttp, into docs/benchmarks.md (3 minutes)
	$(VENV_BENCH)/bin/python -m bench.websockets

bench-proxy: $(VENV_BENCH)/.bench  ## the proxy beside nginx, HAProxy and others, into docs/benchmarks.md (3 minutes)
	@sh tools/need-debian.sh $(DEBIAN_PROXY)
	$(VENV_BENCH)/bin/python -m bench.proxies

bench-logins: $(VENV)/.run  ## what everybody else notices of 100 wrong logins a second (2 minutes)
	$(BIN)/python -m bench.logins

load: $(VENV)/.run $(VENV_LOAD)/.load  ## locust's users against the reactor, then against the reference
	$(BIN)/python -m bench.users --locust $(VENV_LOAD)/bin/locust

clean:  ## remove what the other commands made, but for var/
	rm -rf $(VENV) $(VENV_BENCH) $(VENV_LOAD) .mypy_cache .pytest_cache .ruff_cache .hypothesis artefacts

# -- the virtual environments: made anew only when a lock has changed ---------------------------------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements/run.lock | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@touch $@

$(VENV)/.test: requirements/test.lock | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	@touch $@ $(VENV)/.run

# bjoern is built from source; where that does not work the comparison says that it is missing.
$(VENV_BENCH)/.bench: requirements/bench.lock requirements/bjoern.lock | $(VENV)/bin/python
	@test -d $(VENV_BENCH) || $(BIN)/python -m venv $(VENV_BENCH)
	@$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/bjoern.lock 2>/dev/null || echo "without bjoern: it wants gcc, libev-dev and python3-dev"
	@touch $@

$(VENV_LOAD)/.load: requirements/load.lock | $(VENV)/bin/python
	@test -d $(VENV_LOAD) || $(BIN)/python -m venv $(VENV_LOAD)
	@$(VENV_LOAD)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/load.lock
	@touch $@

# -- Debian packages ------------------------------------------------------------------------------------------------

.PHONY: debian-test debian-bench
debian-test:
	@sh tools/need-debian.sh $(DEBIAN_TEST)

debian-bench:
	@sh tools/need-debian.sh $(DEBIAN_BENCH)
