# `make demo` and `make test` set up what they need; nothing but Python 3.11+ and make is required.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT := out
PAGE := plugins/web/client
ENGINE := $(VENV)/engine
.PHONY: setup demo film test test-engine test-rest test-realtime lint types bench page schemas clean
.DELETE_ON_ERROR:

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) tools/setup.py $(VENV)
	touch $@

$(ENGINE)/.ready: $(VENV)/.ready
	$(PYTHON) tools/setup.py $(VENV) --engine
	touch $@

demo: setup
	$(BIN)/animacy run recipes/iris/recipe.yaml

film: setup
	mkdir -p $(OUT)
	$(BIN)/animacy run recipes/iris/recipe.yaml --input recipes/iris/question.flac --output $(OUT)/answer.mp4 \
		--report $(OUT)/report.json --waterfall $(OUT)/waterfall.png --sheet $(OUT)/contact-sheet.png
	@echo "Look at $(OUT)/answer.mp4, $(OUT)/waterfall.png and $(OUT)/contact-sheet.png"

# What lives in real time has the machine to itself; it runs even when something before it has failed.
test: setup
	$(MAKE) -k -j2 test-engine test-rest; before=$$?; $(MAKE) test-realtime && test $$before = 0

test-engine: $(ENGINE)/.ready
	$(ENGINE)/bin/python -m pytest tests/engine tests/plugins/video_engine tests/plugins/test_sentence_transformers.py

test-rest: lint
	$(BIN)/python -m pytest --ignore tests/engine --ignore tests/plugins/video_engine -m "not realtime" -n 2 --dist loadfile --no-loadscope-reorder

test-realtime: setup
	$(BIN)/python -m pytest --ignore tests/engine --ignore tests/plugins/video_engine -m realtime

lint: setup types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=build/types $(BIN)/mypy

types:
	@# The folders are packages of `animacy`, which a type checker finds by their full names only.
	mkdir -p build/types/animacy && for part in core plugins engine testing; do ln -sfn ../../../$$part build/types/animacy/$$part; done

bench: setup
	$(BIN)/python benchmarks/renderer.py

# The page is committed built, so that nobody else needs Node.
page:
	cd $(PAGE) && npm ci && npm run test && npm run build

schemas: setup
	$(BIN)/animacy recipe schema > docs/recipe.schema.json
	$(BIN)/animacy report schema > docs/report.schema.json

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info
