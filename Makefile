# The two commands of a fresh machine: `make serve` and `make test`. Everything lives in $(VENV).
VENV ?= .venv
PYTHON ?= python3
MODELS ?= models
PORT ?= 8500
REST_PORT ?= 8501
BIN := $(VENV)/bin

# A virtualenv that could not be made completely is made anew.
.DELETE_ON_ERROR:
.PHONY: serve test fuzz lint types bench protos interop keys clean

serve: $(VENV)/.serve
	$(BIN)/python -m workers.sample_model $(MODELS)
	@echo
	@echo "Serving half_plus_two; once the log says 'Exporting HTTP/REST API', try:"
	@echo "  curl -d '{\"instances\": [1.0, 2.0, 5.0]}' http://localhost:$(REST_PORT)/v1/models/half_plus_two:predict"
	@echo
	exec $(BIN)/tensormux --port=$(PORT) --rest_api_port=$(REST_PORT) --model_name=half_plus_two \
		--model_base_path=$(abspath $(MODELS))/half_plus_two $(FLAGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(TESTS)

# Attacks a server with random input; ARGS are further ones of `python -m tests.fuzz`.
SECONDS ?= 60
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# ARGS are those of `python -m bench`, for example ARGS="--scenario grpc-half_plus_two".
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

protos: $(VENV)/.dev
	$(BIN)/python -m protos.build

# Other gRPC clients against a real server; needs node and npm.
interop: $(VENV)/.dev
	cd tests/interop/grpc_js && npm install --no-package-lock --ignore-scripts --no-audit --no-fund
	$(BIN)/python -m pytest -rs tests/e2e/test_interop_grpc_js.py

keys: $(VENV)/.serve
	$(BIN)/python -m control.keygen

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.serve: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cpu]'
	touch $@

# tensorflow-serving-api is installed without its dependencies: it asks for `tensorflow`, beside `tensorflow-cpu`.
$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'tensorflow-serving-api==2.21.*'
	touch $@ $(VENV)/.serve
