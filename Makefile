# make demo and make test do all the set-up themselves on a Debian 12 that has Go, git and make.
GO ?= go
BENCHFLAGS ?= -benchtime 10x
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all demo test test-usb campaign mutants kill pictures check race bench images setup setup-test clean

all: bin/station

bin/station: setup images FORCE
	$(GO) build -o bin/station ./cmd/station

images:
	@$(GO) run recipes/images/generate.go

# The main job: eight boards through four simulated slots.
demo: bin/station
	bin/station demo

# Everything that CI insists on: the tests, once more without cgo where that makes a difference, and those in the USB guest.
test: setup-test images
	$(GO) vet ./...
	CGO_ENABLED=0 $(GO) build ./...
	CI=true $(GO) test -timeout 25m ./...
	CGO_ENABLED=0 $(GO) test -short . ./cmd/station ./fixtures ./fixtures/libusb
	$(MAKE) test-usb

# The simulated programmers before a real Linux USB stack, in an emulated machine. Its kernel is downloaded once for all clones.
# GUESTFLAGS="-only ManyLinks -rounds 400" opens and closes 2400 links.
USB_GUEST ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/station/usbguest
test-usb:
	@scripts/setup usb
	@scripts/usbguest "$(USB_GUEST)"
	CI=true USB_GUEST="$(USB_GUEST)" $(GO) test -count=1 -timeout 12m -v -run 'TestGuest$$' ./usbguest $(GUESTFLAGS)

# The program killed 300 times while it provisions four slots.
kill: setup-test images
	CI=true $(GO) test -count=1 -timeout 60m -v -run 'TestKillSlots$$' ./cmd/station -kills 300

# Stories of whole lines that are to break the promises: as many seeds as DURATION lets, from SEED on.
DURATION ?= 10m
SEED ?= 1
campaign: images
	@mkdir -p bin; $(GO) test -count=1 -timeout 0 -v -run 'TestCampaign$$' ./campaign -duration $(DURATION) -first $(SEED) >bin/campaign.txt; code=$$?; \
	grep -v -e '^ *--- PASS' -e '^=== ' bin/campaign.txt; exit $$code

# Deliberate bugs, each searched for in the first thousand seeds; the seed that found it goes into its row of campaign/mutant_test.go.
mutants: images
	$(GO) test -count=1 -timeout 0 -v -run TestMutants ./campaign -mutants

race: setup-test images
	CI=true $(GO) test -race -timeout 30m ./...

# What the promises about speed are worth, in full size, written to docs/performance.md; then the benchmarks of single rooms, into
# bin/bench.txt: benchstat OLD bin/bench.txt compares two of them.
bench: setup-test images
	$(GO) test -count=1 -timeout 30m ./performance -write; code=$$?; \
	mkdir -p bin && $(GO) test -run '^$$' -bench . $(BENCHFLAGS) ./... >bin/bench.txt; grep -E '^(pkg:|Benchmark|FAIL)' bin/bench.txt; exit $$code

# Every page of the station in every state, in both languages, as it is drawn, into docs/images. Look at all that changed.
pictures: setup-test
	$(GO) test ./kiosk -count=1 -run 'TestGallery$$' -write $(CURDIR)/docs/images

check: race
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

setup:
	@scripts/setup build

setup-test:
	@scripts/setup test

clean:
	rm -rf bin demo-data recipes/images/*.bin

FORCE:
