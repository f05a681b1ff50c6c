"""Spreads calls so that a limiter with a short window is never hit: in this process, or shared by all workers through Redis.

A generic cell rate algorithm: one number, the time at which the bucket is empty again. With rate r per second and b calls at once, any window of w
seconds lets at most b + r·w calls go. A call may arrive later than it was let go, as late as its network or a busy host makes it; but a worker books
the next one only after the last was answered, so at most one call per worker slips into a later window. 0.92 of a limit as rate and 0.03 of it at
once leave room for that: 5 workers at HubSpot's smallest limit (100), 9 at its usual one (190).
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import redis.exceptions

#: Share of a limit that is used evenly, and at once.
EVEN, AT_ONCE = 0.92, 0.03
#: Seconds after which an idle shared bucket is forgotten.
_FORGET_S = 60

# Redis's own clock, so that workers on hosts with different clocks share one bucket. Returns the wait in microseconds; the call is booked at once,
# so that waiting callers queue instead of racing.
_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local empty = tonumber(redis.call('GET', KEYS[1]) or '0')
if empty < at then empty = at end
local step, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait = empty - at - burst * step
redis.call('SET', KEYS[1], string.format('%.0f', empty + step), 'EX', ARGV[3])
if wait < 0 then wait = 0 end
return string.format('%.0f', wait)
"""


class Evaluates(Protocol):
    """The one command used of a Redis client."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any: ...


class Pace:
    """One limiter: `limit` calls per `window_s` seconds. Thread-safe.

    A Redis that cannot be reached is replaced by this process's own bucket for that call: then the CRM's answer 429 is what is left to slow us.
    """

    def __init__(
        self,
        key: str,
        limit: float,
        window_s: float,
        shared: Evaluates | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit, self._window_s = limit, window_s
        self._key, self._redis, self._clock, self._sleep = key, shared, clock, sleep
        self._empty_at = 0.0
        self._lock = threading.Lock()
        self.waited_s = 0.0

    def wait(self) -> None:
        """Books one call and sleeps until it may be made."""
        seconds = self._booked()
        if seconds > 0:
            self.waited_s += seconds
            self._sleep(seconds)

    def _booked(self) -> float:
        step, burst = self._window_s / (self.limit * EVEN), max(0.0, self.limit * AT_ONCE - 1)
        if self._redis is not None:
            try:
                said = self._redis.eval(_SCRIPT, 1, self._key, int(step * 1e6), f"{burst:.6f}", _FORGET_S)
                return float(said) / 1e6
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                return self._own(step, burst)
        return self._own(step, burst)

    def _own(self, step: float, burst: float) -> float:
        with self._lock:
            now = self._clock()
            empty = max(self._empty_at, now)
            self._empty_at = empty + step
            return max(0.0, empty - now - burst * step)
