# Every command of the project. `make` alone lists them.

.DEFAULT_GOAL := help
# The outside tests run what the Rust tests have built; any other choice of packages would build half of it once more.
BUILD := cargo test --workspace --locked --no-run --quiet
.PHONY: help stream build test check format test-rust test-browser test-aiortc test-peers test-network test-attack attack bench-peers bench-growth install-build install-test page-picture clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make stream FILE=foo.mp4    stream a file instead of the test pattern"

stream: install-build ## install what is missing, build, and stream FILE (or a test pattern)
	cargo build --release --package rtcast-cli
	@scripts/split-debug.sh target/release/rtcast
	target/release/rtcast stream $(if $(FILE),"$(FILE)") $(ARGS)

build: install-build ## build the command, optimised, into target/release/rtcast
	cargo build --release --package rtcast-cli
	@scripts/split-debug.sh target/release/rtcast

test: install-test check test-rust test-browser test-aiortc test-peers test-network test-attack ## install what the tests need and run them all

check: ## formatting, lints, the direction of imports, documentation, licences, advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package rtcast-testkit --package rtcast-proto --features rtcast-testkit/openssl --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@scripts/check-imports-test.py
	@scripts/check-imports.py
	cargo deny --log-level error check bans licenses sources
	@scripts/check-advisories.sh

format: ## format the Rust code
	cargo fmt --all

test-rust: ## the Rust tests and the examples in the documentation
	cargo test --workspace --locked
	cargo test --package rtcast-proto --features openssl --lib --test openssl --locked
	cargo test --package rtcast-testkit --features openssl --test openssl --test certificates --locked

test-browser: ## the page in headless Chromium and Firefox
	$(BUILD)
	tests/media.sh
	cd tests && node --test --test-concurrency=1 browser/*.test.mjs

test-aiortc: ## aiortc against the server, as offerer and as answerer
	$(BUILD)
	tests/media.sh
	tests/.venv/bin/python -m pytest -q tests/aiortc

test-peers: ## calls with str0m and webrtc-rs, as offerer and as answerer
	$(BUILD)
	cd tests/peers && cargo build --locked --quiet
	tests/.venv/bin/python -m pytest -q tests/peers

test-network: ## calls through NATs and a TURN server, in network namespaces; as root
	$(BUILD)
	tests/network/run.sh

test-attack: ## hostile clients against a server that somebody watches, each for some seconds
	$(BUILD)
	tests/media.sh
	tests/attack/run.py

attack: ## the same for longer, on the optimised build
	cargo build --release --package rtcast-cli
	tests/media.sh
	RTCAST=target/release/rtcast tests/attack/run.py --seconds 20

bench-peers: ## the same job on rtcast and its peers, as a table; ROUNDS=5 for the median of more
	cargo build --release --package rtcast-cli
	cd benches/peers && cargo build --release --locked --package peer-str0m --package peer-webrtc-rs
	cd benches/peers && cargo build --release --locked --package peer-libdatachannel || echo "libdatachannel is left out"
	test -d benches/peers/aiortc/.venv || python3 -m venv benches/peers/aiortc/.venv
	benches/peers/aiortc/.venv/bin/pip install --quiet --requirement benches/peers/aiortc/requirements.txt
	benches/media.sh
	benches/peers/run.py --rounds $(or $(ROUNDS),3)

bench-growth: ## CPU and memory against the number of viewers, as a table and as docs/growth.svg
	cargo build --release --package rtcast-cli
	benches/media.sh
	benches/growth.py --svg docs/growth.svg

install-build: ## install the packages that building needs
	@scripts/install-build.sh

install-test: ## install what the tests need
	@scripts/install-test.sh

page-picture: ## take docs/page.png anew with headless Chromium
	$(BUILD)
	cd tests && node browser/picture.mjs ../docs/page.png

clean: ## remove what was built
	cargo clean
	rm -rf tests/node_modules tests/.venv tests/media tests/peers/target
