"""The Celery app: `celery -A worker.app worker`."""

from celery import Celery
from celery.signals import beat_init, celeryd_init

app = Celery("scoresync")
app.config_from_object("celeryconfig")


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def need_broker(**_signal: object) -> None:
    """Without an address Celery would look for a RabbitMQ on this host and wait for it without end."""
    if not app.conf.broker_url:
        raise SystemExit("SCORESYNC_REDIS_URL is not set: Celery needs a Redis. Without one, `scoresync worker` does the same work in one process.")
