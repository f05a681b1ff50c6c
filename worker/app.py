"""The Celery app: `celery -A worker.app worker`."""

from celery import Celery
from celery.signals import beat_init, celeryd_init
from kombu.transport.redis import QoS

app = Celery("scoresync")
app.config_from_object("celeryconfig")

# A worker that loses Redis with a message in hand would try to put it back over the very connection that is gone, and end of that (kombu 5.7). The
# ledger knows what is to be done, and the sweep sends a new message.
QoS.restore_at_shutdown = False


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def need_broker(**_signal: object) -> None:
    """Without an address Celery would look for a RabbitMQ on this host and wait for it without end."""
    if not app.conf.broker_url:
        raise SystemExit("SCORESYNC_REDIS_URL is not set: Celery needs a Redis. Without one, `scoresync worker` does the same work in one process.")
