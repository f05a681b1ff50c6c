"""The Celery app of the product with the skeleton's steps: `celery -A tests.worker.skeleton_app worker`."""

from tests.worker import skeleton
from worker import log, tasks
from worker.app import app
from worker.runtime import Runtime
from worker.settings import Settings


def _open() -> Runtime:
    settings = Settings()
    log.configure(settings)
    return skeleton.open_runtime(settings)


tasks.open_runtime = _open

__all__ = ["app"]
