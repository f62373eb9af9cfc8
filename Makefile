# make demo   hear it: encodes and decodes the sample recordings, draws spectrograms
# make test   format, lint, types, shell scripts, all tests
# make web    the page, web/site: any static server will do; the one of `hzc play`, hzc/page
# make requirements  pin requirements/runtime.txt to the newest releases, for every platform
# make clean  forget what was installed and made

PYTHON ?= python3
BIN := .venv/bin
SAMPLES := $(wildcard demo/samples/*.flac)

.PHONY: demo test web requirements clean

demo: .venv/demo.stamp
	$(BIN)/hzc encode --force --output-dir demo $(SAMPLES)
	$(BIN)/hzc decode --force --output-dir demo $(patsubst demo/samples/%.flac,demo/%.hzc,$(SAMPLES))
	$(BIN)/python demo/spectrograms.py demo/spectrograms.png $(SAMPLES)
	$(BIN)/hzc bitrate $(patsubst demo/samples/%.flac,demo/%.hzc,$(SAMPLES))
	@echo "listen to demo/*.wav and look at demo/spectrograms.png"

test: .venv/test.stamp
	bin/check -m ''
	bin/check-web

web: .venv/demo.stamp web/node_modules/.stamp
	$(BIN)/python web/scripts/models.py web/models
	cd web && npm run --silent site

requirements: | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--overrides requirements/no-torch.txt --custom-compile-command 'make requirements' \
		--output-file requirements/runtime.txt pyproject.toml

clean:
	rm -rf .venv demo/*.hzc demo/*.wav demo/spectrograms.png hzc/page
	rm -rf web/build web/models web/node_modules web/site

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

.venv/test.stamp: pyproject.toml bench/pyproject.toml .venv/demo.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev,train]' -e './bench'
	touch $@

web/node_modules/.stamp: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@
