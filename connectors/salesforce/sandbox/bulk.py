"""The paths of Bulk API 2.0: jobs/ingest and jobs/query."""

import logging
import threading
from typing import Any

from connectors.salesforce.sandbox import bulk_ingest, bulk_query
from connectors.salesforce.sandbox.bulk_csv import DELIMITERS, ENDINGS
from connectors.salesforce.sandbox.bulk_jobs import Job, Jobs, bad_state
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.state import State

OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
MAX_UPLOAD = 112_500_000  # bytes: 150 MB once the vendor has encoded it as base64
CSV_TYPE = "text/csv"
log = logging.getLogger(__name__)


def register(routes: Routes) -> None:
    """Adds the Bulk paths to the server's table."""
    add = routes.add
    add("POST", "jobs/ingest", create_ingest, kind="bulk_create")
    add("GET", "jobs/ingest", list_ingest, kind="bulk_list")
    add("GET", "jobs/ingest/{job}", read_ingest, kind="bulk_poll")
    add("PATCH", "jobs/ingest/{job}", change_ingest, kind="bulk_close")
    add("DELETE", "jobs/ingest/{job}", delete_ingest, kind="bulk_delete")
    add("PUT", "jobs/ingest/{job}/batches", upload, kind="bulk_upload")
    add("GET", "jobs/ingest/{job}/successfulResults", successful, kind="bulk_results")
    add("GET", "jobs/ingest/{job}/failedResults", failed, kind="bulk_results")
    add("GET", "jobs/ingest/{job}/unprocessedrecords", unprocessed, kind="bulk_results")
    add("POST", "jobs/query", create_query, kind="bulk_query_create")
    add("GET", "jobs/query", list_query, kind="bulk_list")
    add("GET", "jobs/query/{job}", read_query, kind="bulk_poll")
    add("PATCH", "jobs/query/{job}", change_query, kind="bulk_close")
    add("DELETE", "jobs/query/{job}", delete_query, kind="bulk_delete")
    add("GET", "jobs/query/{job}/results", results, kind="bulk_results")
    add("GET", "jobs/query/{job}/resultPages", result_pages, kind="bulk_results")


# -- ingest -----------------------------------------------------------------------------------------------------------


def create_ingest(context: Context) -> Reply:
    spec = context.json_object()
    operation = str(spec.get("operation") or "")
    if operation not in OPERATIONS:
        raise SalesforceError("INVALIDOPERATION", f"Invalid operation: {operation or 'null'}. Allowed are {', '.join(OPERATIONS)}")
    if operation == "hardDelete" and not (context.user.is_admin or context.user.system):
        message = "hardDelete operation requires special user profile permission, please contact your system administrator"
        raise SalesforceError("FEATURENOTENABLED", message)
    _check_format(spec)
    try:
        item = context.state.object_for(str(spec.get("object") or ""), context.user)
    except SalesforceError:
        raise SalesforceError("INVALIDENTITY", f"Unable to find object: {spec.get('object')}") from None
    if operation == "upsert":
        _check_external_id(spec, item.name, item.get(str(spec.get("externalIdFieldName") or "")))
    job = _jobs(context).create(
        "ingest", context.user, object_name=item.name, operation=operation, spec=spec, api_version=context.version, state="Open"
    )
    return Reply(job_json(job, content_url=True))


def _check_format(spec: dict[str, Any]) -> None:
    for key, allowed in (("contentType", ["CSV"]), ("columnDelimiter", list(DELIMITERS)), ("lineEnding", list(ENDINGS))):
        value = spec.get(key)
        if value is not None and value not in allowed:
            raise SalesforceError("INVALIDJOB", f"InvalidJob : {key} {value} is not supported. Allowed are {', '.join(allowed)}")


def _check_external_id(spec: dict[str, Any], object_name: str, field: Any) -> None:
    name = spec.get("externalIdFieldName")
    if not name:
        message = f"InvalidJob : External ID was blank for {object_name}. An External ID must be specified for upsert."
        raise SalesforceError("INVALIDJOB", message)
    if field is None or not (field.external_id or field.id_lookup or field.type == "id"):
        message = f"InvalidJob : Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for {object_name}"
        raise SalesforceError("INVALIDJOB", message)


def upload(context: Context) -> Reply:
    jobs = _jobs(context)
    job = jobs.get(context.path["job"], "ingest")
    if not str(context.headers.get("content-type", CSV_TYPE)).lower().startswith(CSV_TYPE):
        raise SalesforceError("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be text/csv", status=415)
    if len(context.body) > MAX_UPLOAD:
        message = f"the upload has {len(context.body)} bytes, a job takes at most {MAX_UPLOAD}"
        raise SalesforceError("CLIENTINPUTERROR", message, status=413)
    if job.state != "Open":
        raise bad_state(f"The job {job.id} is {job.state}: data can be uploaded only while it is Open")
    if not jobs.take_upload(job, context.body):
        message = (
            f"InvalidBatch : Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job "
            "and make sure you only do 'PUT' once on a given Job."
        )
        raise SalesforceError("CLIENTINPUTERROR", message)
    return Reply(None, status=201)


def change_ingest(context: Context) -> Reply:
    jobs = _jobs(context)
    job = jobs.get(context.path["job"], "ingest")
    wanted = context.json_object().get("state")
    if wanted == "UploadComplete":
        if job.state == "Open" and not job.uploaded:
            raise bad_state(f"No data has been uploaded for the job {job.id}")
        if not jobs.close(job):
            raise bad_state("Closing already Completed Job not allowed")
        closed = jobs.get(job.id, "ingest")
        kick(context.state, closed)
        return Reply(job_json(closed))
    return _abort(jobs, job, wanted)


def _abort(jobs: Jobs, job: Job, wanted: Any) -> Reply:
    if wanted != "Aborted":
        raise SalesforceError("INVALIDJOBSTATE", f"Invalid job state: {wanted}")
    if not jobs.abort(job):
        raise bad_state("Aborting already Completed Job not allowed")
    return Reply(job_json(jobs.get(job.id, job.kind)))


def list_ingest(context: Context) -> Reply:
    return _listing(context, "ingest")


def read_ingest(context: Context) -> Reply:
    return Reply(job_json(_polled(context, "ingest"), full=True))


def delete_ingest(context: Context) -> Reply:
    return _delete(context, "ingest", also=("UploadComplete",))


def successful(context: Context) -> Reply:
    return _csv(bulk_ingest.result_stream(context.state, _ended(context, "ingest"), "ok"))


def failed(context: Context) -> Reply:
    return _csv(bulk_ingest.result_stream(context.state, _ended(context, "ingest"), "failed"))


def unprocessed(context: Context) -> Reply:
    return _csv(bulk_ingest.unprocessed_stream(context.state, _ended(context, "ingest")))


# -- query ------------------------------------------------------------------------------------------------------------


def create_query(context: Context) -> Reply:
    spec = context.json_object()
    operation = str(spec.get("operation") or "")
    if operation not in ("query", "queryAll"):
        raise SalesforceError("INVALIDOPERATION", f"Invalid operation: {operation or 'null'}. Allowed are query, queryAll")
    _check_format(spec)
    plan = bulk_query.check(context.state, context.user, str(spec.get("query") or ""), all_rows=operation == "queryAll")
    job = _jobs(context).create(
        "query", context.user, object_name=plan.scope.object.name, operation=operation, spec=spec, api_version=context.version, state="UploadComplete"
    )
    kick(context.state, job)
    return Reply(job_json(job))


def list_query(context: Context) -> Reply:
    return _listing(context, "query")


def read_query(context: Context) -> Reply:
    return Reply(job_json(_polled(context, "query"), full=True))


def change_query(context: Context) -> Reply:
    jobs = _jobs(context)
    return _abort(jobs, jobs.get(context.path["job"], "query"), context.json_object().get("state"))


def delete_query(context: Context) -> Reply:
    return _delete(context, "query")


def results(context: Context) -> Reply:
    job = _results_of(context)
    size = bulk_query.page_size(context.state, context.params.get("maxRecords"))
    found = bulk_query.page(job, context.params.get("locator") or None, size)
    headers = {"Sforce-Locator": found.locator or "null", "Sforce-NumberOfRecords": str(found.records)}
    return _csv(bulk_query.page_stream(context.state, job, found), headers)


def result_pages(context: Context) -> Reply:
    job = _results_of(context)
    base = f"/services/data/v{context.version}/jobs/query/{job.id}"
    return Reply(bulk_query.result_pages(job, base, context.params.get("locator") or None, bulk_query.page_size(context.state, None)))


def _results_of(context: Context) -> Job:
    job = _jobs(context).get(context.path["job"], "query")
    if job.api_version != context.version:
        message = f"The job was created with API version {job.api_version}; its results must be read with the same version"
        raise SalesforceError("API_ERROR", message, status=409)
    if job.state != "JobComplete":
        raise bad_state(f"The job {job.id} is {job.state}: results are available when it is JobComplete")
    return job


# -- both -------------------------------------------------------------------------------------------------------------


def kick(state: State, job: Job) -> None:
    """Starts a worker thread for a job nobody works on; a delayed job, or one whose server died, is taken up by the next status call."""
    jobs = Jobs(state)
    if not jobs.due(job):
        return
    claim = jobs.claim(job)
    if claim is not None:
        threading.Thread(target=_work, args=(state, job.id, job.kind, claim), name=f"bulk-{job.id}", daemon=True).start()


def _work(state: State, job_id: str, kind: str, claim: str) -> None:
    jobs = Jobs(state)
    try:
        job = jobs.get(job_id, kind)
        (bulk_ingest if kind == "ingest" else bulk_query).process(state, job, claim)
    except Exception:
        log.exception("bulk job %s", job_id)
        jobs.finish(jobs.get(job_id, kind), claim, "Failed", error="Unknown : Internal error while the job was processed")
    finally:
        state.close()


def _jobs(context: Context) -> Jobs:
    jobs = Jobs(context.state)
    if not jobs.folder.exists():
        jobs.prepare()
    return jobs


def _polled(context: Context, kind: str) -> Job:
    jobs = _jobs(context)
    job = jobs.get(context.path["job"], kind)
    kick(context.state, job)
    return jobs.get(job.id, kind)


def _ended(context: Context, kind: str) -> Job:
    job = _jobs(context).get(context.path["job"], kind)
    if not job.terminal:
        raise bad_state(f"The job {job.id} is {job.state}: results are available when it has ended")
    return job


def _delete(context: Context, kind: str, also: tuple[str, ...] = ()) -> Reply:
    jobs = _jobs(context)
    job = jobs.get(context.path["job"], kind)
    if not job.terminal and job.state not in also:
        raise SalesforceError("API_ERROR", "Error encountered when deleting the job because the job is not terminated")
    jobs.delete(job)
    return Reply(None, status=204)


def _listing(context: Context, kind: str) -> Reply:
    locator = context.params.get("queryLocator") or "0"
    if not locator.isdigit():
        raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
    found, last = _jobs(context).listing(kind, int(locator))
    wanted = {"ingest": "V2Ingest", "query": "V2Query"}[kind]
    shown = found if context.params.get("jobType", wanted) == wanted else []
    following = None if last else f"/services/data/v{context.version}/jobs/{kind}?queryLocator={int(locator) + len(found)}"
    return Reply({"done": last, "records": [job_json(job) | {"jobType": wanted} for job in shown], "nextRecordsUrl": following})


def _csv(body: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(body, headers=headers or {}, media_type=CSV_TYPE, stream=True)


def job_json(job: Job, *, full: bool = False, content_url: bool = False) -> dict[str, Any]:
    """A job as the API shows it: after creation with its upload path, on a status call (`full`) with counts and times."""
    shown: dict[str, Any] = {
        "id": job.id, "operation": job.operation, "object": job.object, "createdById": job.user_id, "createdDate": job.created,
        "systemModstamp": job.modified, "state": job.state, "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": float(job.api_version),
    }  # fmt: skip
    if content_url:
        shown["contentUrl"] = f"services/data/v{job.api_version}/jobs/ingest/{job.id}/batches"
    shown |= {"lineEnding": job.line_ending, "columnDelimiter": job.delimiter}
    if job.operation == "upsert":
        shown["externalIdFieldName"] = job.spec.get("externalIdFieldName")
    if not full:
        return shown
    shown["jobType"] = "V2Ingest" if job.kind == "ingest" else "V2Query"
    shown |= {"numberRecordsProcessed": job.processed, "retries": 0, "totalProcessingTime": job.total_ms}
    if job.kind == "ingest":
        shown |= {"numberRecordsFailed": job.failed, "apiActiveProcessingTime": job.active_ms, "apexProcessingTime": 0}
    else:
        shown["isPkChunkingSupported"] = True
    if job.error is not None:
        shown["errorMessage"] = job.error
    return shown
