"""Celery: broker, limits and the beat schedule. The ledger holds the truth; a message holds an item's id only and may be lost or doubled.

celery -A worker.app worker        prefork; one or more, on one or more hosts (then with PostgreSQL as the ledger)
celery -A worker.app beat -s var/celerybeat-schedule          exactly one
"""

from celery.schedules import crontab

from worker.settings import Settings

_settings = Settings()
_hour, _minute = _settings.full_at.split(":")

broker_url = _settings.redis_url.get_secret_value() if _settings.redis_url else None
broker_connection_retry_on_startup = True
include = ("worker.tasks",)

# JSON only: a pickle from a shared broker would be somebody else's code
task_serializer = "json"
accept_content = ("json",)
# nothing waits for results; what came of an item is in the ledger
task_ignore_result = True
# a lost worker's message comes again; the claim makes a second delivery harmless
task_acks_late = True
task_reject_on_worker_lost = True
# when Redis is lost, what is in hand could not be acknowledged any more, and the worker would end when it tries: its children are stopped instead,
# give their items back, and the sweep's next message takes them up
worker_cancel_long_running_tasks_on_connection_loss = True
# items last from milliseconds to minutes: none is to wait behind a long one
worker_prefetch_multiplier = 1
# the soft limit ends the item in an orderly way, the hard one kills its process, and only after that may the broker deliver again
task_soft_time_limit = _settings.item_limit_s - 60 if _settings.item_limit_s > 120 else _settings.item_limit_s / 2
task_time_limit = _settings.item_limit_s
broker_transport_options = {"visibility_timeout": 2 * _settings.item_limit_s + _settings.lease_s}
# a broker that is away does not hold up an item's end: the sweep sends what could not be sent
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.2}
# DuckDB gives memory back to its allocator, not always to the system
worker_max_tasks_per_child = 500
worker_hijack_root_logger = False
# our log lines are JSON already
worker_redirect_stdouts = False
worker_send_task_events = False

timezone = _settings.timezone
beat_schedule = {
    "full": {"task": "run.start_full", "schedule": crontab(hour=_hour, minute=_minute)},
    "increment": {"task": "run.start_increment", "schedule": _settings.increment_every_s},
    "resync": {"task": "run.poll_resync", "schedule": _settings.resync_every_s, "options": {"expires": _settings.resync_every_s}},
    "sweep": {"task": "run.sweep", "schedule": _settings.sweep_every_s, "options": {"expires": _settings.sweep_every_s}},
    "compact": {"task": "lake.compact", "schedule": crontab(minute=17)},
}
