# Runa: `make run` builds everything and boots it; `make test` proves it.
# Each target installs what it needs on a Debian machine and says so first.

OUT  := out
BOOT := sh image/bootstrap/bootstrap.sh

VERSION := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
GO       = $$($(BOOT) go)
ENV      = export CGO_ENABLED=0 PATH="$$(dirname "$(GO)"):$$PATH" GOFLAGS=-buildvcs=false GOTOOLCHAIN=local;
LINK     = -trimpath -ldflags "-s -w -buildid= -X main.version=$(VERSION)"

N    = 10000
SEED = 1

OPTIONS  = $(if $(MODEL),--model $(MODEL))

.PHONY: help run test test-all chaos image programs bench lint pin clean

help: ## say what there is to do
	@echo "Runa: a private, offline home for local language models"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  MODEL=tinyllama-1.1b-chat, stories15m or none chooses the model that goes in;"
	@echo "  \`make run\` otherwise takes what this machine can run. MEMORY=4096 is in MiB."

run: programs ## build what is missing, boot it here, attach the console
	@$(BOOT) packages run
	@$(ENV) $(OUT)/bin/runa-image run $(OPTIONS) $(if $(MEMORY),--memory $(MEMORY))

image: programs ## build the image: make image TARGET=qcow2, raw, usb, xen, kernel or all
	@$(BOOT) packages image
	@$(ENV) $(OUT)/bin/runa-image build $(OPTIONS) $(if $(TARGET),--target $(TARGET))

programs: ## build Runa's programs into out/bin
	@$(BOOT) packages build
	@mkdir -p $(OUT)/bin
	@$(ENV) go build $(LINK) -o $(OUT)/bin/ ./cmd/...

test: programs ## every test, in real machines too
	@$(BOOT) packages test
	@$(MAKE) --no-print-directory lint
	@$(ENV) $(OUT)/bin/runa-image build --out $(OUT)/test --model stories15m --target all
	@$(ENV) set -e; variables="$$($(OUT)/bin/runa-image env --out $(OUT)/test)"; eval "$$variables"; \
		go test -timeout 55m $(TESTFLAGS) ./...

test-all: test ## what takes too long for every day too: two builds from nothing, 200 power cuts, 100 changed bytes, all Xen guests
	@$(ENV) set -e; variables="$$($(OUT)/bin/runa-image env --out $(OUT)/test)"; eval "$$variables"; \
		RUNA_EMPTY_CACHES=yes go test -timeout 0 -count 1 -v -run '^TestTwoBuildsInDifferentFoldersGiveTheSameBytes$$' ./qemu-tests; \
		RUNA_XEN_GUESTS=all go test -timeout 0 -count 1 -v -run '^TestAXenHostReadsAndStartsTheImage$$' ./qemu-tests; \
		RUNA_POWER_CUTS=200 go test -timeout 0 -count 1 -v -run '^TestThePlugIsPulledAtAnyMoment$$' ./qemu-tests; \
		RUNA_FLIPS=100 go test -timeout 0 -count 1 -v -run '^TestAChangedByteOfTheSystemIsNoticed$$' ./qemu-tests

chaos: programs ## hurt a booted machine N times, chosen by SEED: make chaos N=10000 SEED=1
	@$(BOOT) packages test
	@$(ENV) $(OUT)/bin/runa-image build --out $(OUT)/test --model stories15m --target all
	@$(ENV) set -e; variables="$$($(OUT)/bin/runa-image env --out $(OUT)/test)"; eval "$$variables"; \
		RUNA_CHAOS_FAULTS=$(N) RUNA_CHAOS_SEED=$(SEED) \
		go test -timeout 0 -count 1 -v -run '^TestEveryFaultHealsWhileTheConsoleAnswers$$' ./qemu-tests

bench: programs ## how far from the physical limit and from the best peers, as ratios
	@$(BOOT) packages bench
	@$(ENV) $(OUT)/bin/runa-image build --out $(OUT)/test --model stories15m --target all
	@$(ENV) set -e; variables="$$($(OUT)/bin/runa-image env --out $(OUT)/test --bench)"; eval "$$variables"; \
		go test -timeout 60m -run '^$$' -bench . -benchtime 1x ./qemu-tests

lint: ## formatting, vet, staticcheck and module hygiene
	@$(ENV) set -e; unformatted="$$(go tool gofumpt -l $$(git ls-files '*.go'))"; \
		[ -z "$$unformatted" ] || { echo "error: not formatted: $$unformatted"; echo "hint: go tool gofumpt -w ."; exit 1; }
	@$(ENV) set -e; go vet ./...; go tool staticcheck ./...; go mod tidy -diff

pin: programs ## accept the Debian archive's current versions (read the diff before you commit it)
	@$(ENV) $(OUT)/bin/runa-image pin

clean: ## remove out/ (what is slow to make stays in ~/.cache/runa)
	rm -rf $(OUT)
