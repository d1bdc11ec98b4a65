# Runa: `make run` builds everything and boots it; `make test` proves it.
# Each target installs what it needs on a Debian machine and says so first.

MODEL  ?= auto
MEMORY ?=
OUT    := out
BOOT   := sh image/bootstrap/bootstrap.sh

VERSION := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
GO       = $$($(BOOT) go)
ENV      = export CGO_ENABLED=0 PATH="$$(dirname "$(GO)"):$$PATH" GOFLAGS=-buildvcs=false GOTOOLCHAIN=local;
LINK     = -trimpath -ldflags "-s -w -buildid= -X main.version=$(VERSION)"

.PHONY: help run test image programs bench lint fuzz pin clean

help: ## say what there is to do
	@echo "Runa: a private, offline home for local language models"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  MODEL=stories15m|tinyllama-1.1b-chat|none chooses the model (default: by what the machine can do)"

run: programs ## build what is missing, boot it here, attach the console
	@$(BOOT) packages run
	@$(ENV) $(OUT)/bin/runa-image run --model $(MODEL) $(if $(MEMORY),--memory $(MEMORY))

image: programs ## build the disk image out/runa.qcow2
	@$(BOOT) packages image
	@$(ENV) $(OUT)/bin/runa-image build --model $(MODEL)

programs: ## build Runa's programs into out/bin
	@$(BOOT) packages build
	@mkdir -p $(OUT)/bin
	@$(ENV) go build $(LINK) -o $(OUT)/bin/ ./cmd/...

test: programs ## every test, in real machines too
	@$(BOOT) packages test
	@$(ENV) $(OUT)/bin/runa-image build --model stories15m
	@$(ENV) eval "$$($(OUT)/bin/runa-image env)"; $(MAKE) --no-print-directory lint && go test -timeout 40m $(TESTFLAGS) ./...

bench: programs ## how far from the physical limit and from the best peers, as ratios
	@$(BOOT) packages bench
	@$(ENV) $(OUT)/bin/runa-image build --model stories15m
	@$(ENV) eval "$$($(OUT)/bin/runa-image env --bench)"; go test -timeout 60m -run '^$$' -bench . -benchtime 1x ./qemu-tests

lint: ## formatting, vet and module hygiene
	@$(ENV) unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; [ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	@$(ENV) go vet ./... && go mod verify >/dev/null && go mod tidy -diff

pin: programs ## accept the Debian archive's current versions (read the diff before you commit it)
	@$(ENV) $(OUT)/bin/runa-image pin

clean: ## remove out/ (what is slow to make stays in ~/.cache/runa)
	rm -rf $(OUT)
