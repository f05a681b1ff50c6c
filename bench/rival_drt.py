"""drt-core's HubSpot destination over given companies, in its own Python: what `bench.hubspot` runs beside ours. Needs nothing of scoresync.

    HUBSPOT_TOKEN=… python -m bench.rival_drt URL ROWS.json

As it is meant to be used where companies exist: `update_only` by a unique property, one call per record, without its pacing (9 calls a second
otherwise). Its address is a constant of its module, which no setting changes, so it is set here.
"""

import json
import sys
import time
from pathlib import Path

from drt.config.models import HubSpotDestinationConfig, SyncOptions  # type: ignore[import-not-found]
from drt.destinations import hubspot as destination  # type: ignore[import-not-found]

from bench.measure import cpu_s, own_peak_mib


def main(url: str, path: str) -> None:
    destination._HUBSPOT_API = f"{url}/crm/v3/objects"
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    records = [{"tenant_id": row["tenant_id"], **row["properties"]} for row in rows]
    auth = {"type": "bearer", "token_env": "HUBSPOT_TOKEN"}
    config = HubSpotDestinationConfig(type="hubspot", object_type="companies", id_property="tenant_id", auth=auth)
    options = SyncOptions(match_policy="update_only", rate_limit={"requests_per_second": 0})
    began, before = cpu_s(), time.perf_counter()
    result = destination.HubSpotDestination().load(records, config, options)
    found = {"rows": result.success, "wall_s": time.perf_counter() - before, "cpu_s": cpu_s() - began}
    print(json.dumps(found | {"peak_mib": own_peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
