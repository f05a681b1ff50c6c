"""The Celery app: `celery -A worker.app worker`."""

from celery import Celery

app = Celery("scoresync")
app.config_from_object("celeryconfig")
