# make help lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SET ?=
# Tests start the gateway hundreds of times: without the compiled files each start compiles three hundred modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv run demo test check format services bench goals chaos docs clean lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 " + "venv")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python has no venv module here. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

venv: $(STAMP) ## make .venv from hash-checked pins; .venv/bin/gateway is the command

run: $(STAMP) ## start the gateway on the defaults of config/
	$(BIN)/gateway serve $(if $(SET),--set $(SET))

demo: $(STAMP) ## a gateway of its own in a temporary folder, twelve mails, a bot, text messages, calls; writes to nobody
	$(BIN)/gateway demo

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -n 3 --dist loadgroup

check: $(STAMP) ## linters, types, import contracts (under a minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

SERVICES := strace openssl chromium dovecot-imapd dovecot-lmtpd postfix nginx-light caddy systemd postgresql-15 swaks kannel kannel-extras \
  request-tracker5 rt5-db-sqlite rt5-standalone redmine redmine-sqlite puma mariadb-server-core sip-tester espeak-ng

# Bundler since 2.3.27 believes in no gem without a folder of its own, which many of Debian's have not: without these
# empty folders the package redmine fails to be configured.
APT = DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends $(APT_OPTIONS) install
GEMS = { ruby -rfileutils -e 'Gem::Specification.each { |gem| FileUtils.mkdir_p(gem.full_gem_path) unless gem.default_gem? }' && dpkg --configure -a; }

services: ## install the real programs that some tests use (Debian, as root)
	@missing=$$(for each in $(SERVICES); do dpkg-query -W -f '$${db:Status-Status}' $$each 2>/dev/null | grep -qx installed || echo $$each; done); \
	if [ -z "$$missing" ]; then echo "all installed: $(SERVICES)"; else \
	mkdir -p /etc/postgresql-common; test -e /etc/postgresql-common/createcluster.conf || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	made=; [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made=1; }; \
	printf '%s\n' 'postfix postfix/main_mailer_type select No configuration' 'dbconfig-common dbconfig-common/dbconfig-install boolean false' \
	  'request-tracker5 request-tracker5/dbconfig-install boolean false' 'request-tracker5 request-tracker5/install-cronjobs boolean false' \
	  'redmine redmine/instances/default/dbconfig-install boolean false' | debconf-set-selections; \
	apt-get -qq update && { $(APT) $$missing || { $(GEMS) && $(APT) $$missing; }; }; failed=$$?; \
	[ -z "$$made" ] || rm -f /usr/sbin/policy-rc.d; exit $$failed; fi

bench: $(STAMP) ## speeds as ratios against a bare counterpart in the same run
	@for each in $(filter-out benchmarks/goals.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$each"; $(BIN)/python $$each || exit 1; done

goals: $(STAMP) ## the goals of speed and where they stand, on a machine with nothing else to do (ten minutes)
	$(BIN)/python benchmarks/goals.py --save

chaos: $(STAMP) ## the long kill test: 30 kills at random moments and named points
	$(BIN)/python -m pytest -p no:xdist -s tests/chaos --kills 30

docs: $(STAMP) ## make docs/settings.md again from the models
	$(BIN)/python -m gateway.settings_text > docs/settings.md

lock: ## make the pins again from requirements/*.in (needs uv)
	for f in run dev; do uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --quiet --upgrade requirements/$$f.in -o requirements/$$f.txt; done

clean: ## remove the environment and var/
	rm -rf $(VENV) var
