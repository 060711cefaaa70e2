# Every target does its own set-up; `make setup` takes seconds when there is nothing to do.
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# In the order of their names: xdist would leave files of few tests to the end, and the longest tests are in those.
SUITE := $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder

# Programs are started by the hundred: what they import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all test-postgres fuzz torture lint model bench bench-dataplane run clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml scripts/setup
	scripts/setup run $(VENV)
	@touch $@

demo: setup            ## the main job: a load balancer over REST, its ECMP route, real traffic; ONCE=1 ends by itself
	$(BIN)/vaportrail demo $(if $(ONCE),--once)

run: setup             ## the API server alone, on 127.0.0.1:8082
	$(BIN)/vaportrail serve

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint             ## the suite
	scripts/setup test
	$(SUITE) -m "not slow" $(ARGS)

test-all: lint         ## and what takes longer: faults, fuzz, the fresh install
	scripts/setup test
	$(SUITE) $(ARGS)
	$(MAKE) test-postgres

test-postgres: setup   ## the tests of the API again, on PostgreSQL
	scripts/setup test
	$(SUITE) --database postgresql $(ARGS)

fuzz: setup            ## every type against its OpenAPI document; FUZZ_EXAMPLES and FUZZ_SEED say how much and which
	FUZZ_TYPES=all FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),20) FUZZ_SEED=$(or $(FUZZ_SEED),$(shell date +%s)) \
		$(PYTEST) -n 2 --timeout 7200 tests/openapi/test_openapi_schemathesis.py $(ARGS)

torture: setup         ## clients, faults and checks on both databases; TORTURE_MINUTES and TORTURE_SEED say how long and which
	scripts/setup test
	PYTHONPATH=tests $(BIN)/python tests/faults/torture.py

model: setup           ## schema/model.json from schema/contrail/*.yaml
	$(BIN)/python -m schema.build

bench: setup           ## figures beside their limits, in one run of some twelve minutes; ARGS="--docs docs" renews the pages
	scripts/setup test
	$(BIN)/python -m benchmarks $(ARGS)

bench-dataplane: setup ## what the way through a VIP costs, beside kube-proxy's ways and haproxy; as root
	scripts/setup bench
	$(BIN)/python -m benchmarks.forwarding $(ARGS)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
