# The book, its tests and its notebooks. `make` alone says what there is.
# Everything runs in .venv, which the first command makes and later ones reuse.

PY := .venv/bin/python

.PHONY: help setup book serve test lint test-library test-notebooks test-site \
        notebooks figures colab results lock clean

help:
	@echo "make book             build the site, always from nothing, and say where it is"
	@echo "make test             check everything"
	@echo "make notebooks        run the notebooks again and keep their outputs (ONLY=03 for one)"
	@echo "make serve            serve the built site on this machine"
	@echo "make figures          draw the figures of the front page again"
	@echo "make colab            write the Colab edition of the notebooks (REPO=owner/name)"
	@echo "make results          run what the experiments' tables lack (JOBS=2)"
	@echo "make lint, test-library, test-notebooks, test-site: one part of make test"
	@echo "make lock             resolve requirements.in anew into requirements.lock"
	@echo "make clean            remove what was built; .venv stays"

setup:
	@sh scripts/setup.sh

book: setup
	@$(PY) scripts/build_site.py

serve: setup
	@$(PY) scripts/build_site.py --if-missing
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

test: setup
	@$(PY) scripts/check.py

lint test-library test-notebooks test-site: setup
	@$(PY) scripts/check.py $@

notebooks: setup
	@$(PY) scripts/run_notebooks.py $(ONLY)

figures: setup
	@$(PY) scripts/draw_figures.py

colab: setup
	@$(PY) scripts/colab.py $(REPO)

results: setup
	@$(PY) -m lnlib run --all --jobs $(or $(JOBS),1)

lock: setup
	@sh scripts/lock.sh

clean:
	rm -rf _build build *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage*
