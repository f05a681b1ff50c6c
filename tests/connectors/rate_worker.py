"""A worker process of the rate tests: writes a score to its companies, a few per call, through the shared limiter.

    python -m tests.connectors.rate_worker < {"ids": [...], "per_call": 10}

Settings come from the environment, as a worker's do. Prints the states of the records, and the calls it made by kind.
"""

import json
import sys
from collections import Counter

from connectors.base import RecordWrite
from connectors.hubspot import connector
from tests.connectors.hubs import MAPPING, SCORE
from tests.factories import make_mappings
from worker.settings import Settings


def main() -> None:
    given = json.load(sys.stdin)
    crm = connector.connect(MAPPING, make_mappings(), Settings())
    states: Counter[str] = Counter()
    for start in range(0, len(given["ids"]), given["per_call"]):
        part = [RecordWrite(i, None, i, {"score": "58"}) for i in given["ids"][start : start + given["per_call"]]]
        states.update(result.state.value for result in crm.write([SCORE], part, key_field=None))
    print(json.dumps({"states": states, "calls": crm.calls.by_kind}))


if __name__ == "__main__":
    main()
