"""The vocabulary of appagent as types: what is seen, wanted, applied and run; events and commands.

Everything here is a value. Nothing here reads a clock or a file, or imports another part of the
package, so every part may import it, and a test can build any situation by hand.

Times: `mono` is seconds of CLOCK_MONOTONIC (the same in every process of one boot), `wall` is
seconds since the epoch. Decisions use `mono`; only what must outlive a boot uses `wall`.
"""
