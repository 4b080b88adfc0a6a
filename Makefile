# What a person does with this repository. The work is in packaging/dev; `packaging/dev/places` says
# which variables move an instance elsewhere (OPENTRUSTY_STATE, OPENTRUSTY_AUTH_PORT, …).
DEV := packaging/dev

.DEFAULT_GOAL := help
.PHONY: help setup up down restart status logs dev dev-backend dev-frontend build clean \
	test test-backend test-frontend test-coverage fmt lint sqlx fuzz soak bench \
	db-shell db-migrate db-seed packages package-check reproduce \
	appliance-test vm-test prod-build prod-up

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what is missing on Debian, make the system users, fetch the crates
	@$(DEV)/install-packages up test && $(DEV)/users && cargo fetch --locked

up: ## build and start everything, say where to sign in
	@$(DEV)/up

down: ## stop everything; no process is left
	@$(DEV)/down

restart: ## stop and start everything
	@$(DEV)/down && $(DEV)/up

status: ## what is running
	@$(DEV)/status

logs: ## follow what the daemons write
	@$(DEV)/logs --follow

dev: dev-backend ## the quick build of everything, running, with its log (the console joins when it exists)

dev-backend: ## the quick build of the daemons, running, with its log
	@OPENTRUSTY_PROFILE=dev $(DEV)/up && $(DEV)/logs --follow

dev-frontend: ## the console's development server: not before there is a console
	@echo "there is no console yet; authd's own pages come with make dev-backend"

build: ## the four programs, optimised
	@$(DEV)/build release

clean: ## stop everything and remove the instance (database, token, keys) and the build
	@$(DEV)/clean && cargo clean --quiet

test: ## every test
	@$(DEV)/test

test-backend: ## the tests of the crates, without those that drive whole programs
	@$(DEV)/test --backend

test-frontend: ## the console's tests: not before there is a console
	@echo "there is no console yet; authd's own pages are tested by make test"

test-coverage: ## line coverage of the crates' tests
	@$(DEV)/coverage

fmt: ## format the source
	@cargo fmt --all

lint: ## formatting, clippy, shell scripts, dependency rule, licences
	@$(DEV)/lint

sqlx: ## write the SQL macros' offline data anew
	@$(DEV)/sqlx-prepare

fuzz: ## fuzz each target for a minute, or SECONDS=…
	@$(DEV)/fuzz $(SECONDS)

soak: ## every race for 20000 rounds, or ROUNDS=…, and what must take equally long, timed
	@$(DEV)/soak $(ROUNDS)

bench: ## measurements on an optimised build, beside the limits of this machine
	@$(DEV)/bench

db-shell: ## psql on the instance's database, as its owner
	@$(DEV)/db-shell

db-migrate: ## bring the instance's schema up to date
	@$(DEV)/migrate

db-seed: ## one tenant, user and client to try things with
	@$(DEV)/seed

packages: ## the Debian packages and RPMs, in target/packages (OPENTRUSTY_PACKAGES)
	@$(DEV)/install-packages package && packaging/build

package-check: ## what must hold of the packages that were made
	@$(DEV)/install-packages package && packaging/check

reproduce: ## build the packages twice, in different folders, and compare the bits
	@$(DEV)/install-packages package && packaging/reproduce

appliance-test: ## the packages, installed, attacked and killed under the systemd of Debian 12 and 13, in namespaces
	@packaging/bed/test

vm-test: ## the same on Debian's own kernels under emulation, with the power failing
	@packaging/bed/test --vm

prod-build: packages ## the packages

prod-up: ## how the production services are started
	@echo "on the machine that is to serve: apt install ./opentrusty*.deb (make packages), then opentrusty setup"
