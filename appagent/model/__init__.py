"""The words of appagent as types: what is seen, wanted, applied and run; events and commands.

Everything here is a value. Nothing here reads a clock, a file or another module of ours, so every
part may import it, and a test can build any situation by hand.

Times: `mono` is seconds of CLOCK_MONOTONIC (the same in every process of one boot), `wall` is
seconds since the epoch. Decisions use `mono`; only what must outlive a boot uses `wall`.
"""
