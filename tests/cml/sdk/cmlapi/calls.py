"""The calls: name, verb, path, type of the answer. A name in braces is an argument, in this order, after the body if it has one."""

from __future__ import annotations

PROJECT = "/api/v2/projects/{project_id}"
JOB = PROJECT + "/jobs/{job_id}"
MODEL = PROJECT + "/models/{model_id}"
BUILD = MODEL + "/builds/{build_id}"
DEPLOYMENT = BUILD + "/deployments/{deployment_id}"
EXPERIMENT = PROJECT + "/experiments/{experiment_id}"
RUN = EXPERIMENT + "/runs/{run_id}"
APPLICATION = PROJECT + "/applications/{application_id}"
PAGED = ("search_filter", "sort", "page_size", "page_token")
BODY = ("create_", "update_", "log_")
CALLS = {
    "get_project": ("GET", PROJECT, "Project"),
    "update_project": ("PATCH", PROJECT, "Project"),
    "list_jobs": ("GET", PROJECT + "/jobs", "ListJobsResponse"),
    "get_job": ("GET", JOB, "Job"),
    "create_job": ("POST", PROJECT + "/jobs", "Job"),
    "update_job": ("PATCH", JOB, "Job"),
    "delete_job": ("DELETE", JOB, "DeleteJobResponse"),
    "create_job_run": ("POST", JOB + "/runs", "JobRun"),
    "list_job_runs": ("GET", JOB + "/runs", "ListJobRunsResponse"),
    "get_job_run": ("GET", JOB + "/runs/{run_id}", "JobRun"),
    "stop_job_run": ("POST", JOB + "/runs/{run_id}:stop", "JobRun"),
    "list_models": ("GET", PROJECT + "/models", "ListModelsResponse"),
    "get_model": ("GET", MODEL, "Model"),
    "create_model": ("POST", PROJECT + "/models", "Model"),
    "update_model": ("PATCH", MODEL, "Model"),
    "delete_model": ("DELETE", MODEL, "DeleteModelResponse"),
    "list_model_builds": ("GET", MODEL + "/builds", "ListModelBuildsResponse"),
    "get_model_build": ("GET", BUILD, "ModelBuild"),
    "create_model_build": ("POST", MODEL + "/builds", "ModelBuild"),
    "list_model_deployments": ("GET", BUILD + "/deployments", "ListModelDeploymentsResponse"),
    "get_model_deployment": ("GET", DEPLOYMENT, "ModelDeployment"),
    "create_model_deployment": ("POST", BUILD + "/deployments", "ModelDeployment"),
    "stop_model_deployment": ("POST", DEPLOYMENT + ":stop", "ModelDeployment"),
    "restart_model_deployment": ("POST", DEPLOYMENT + ":restart", "ModelDeployment"),
    "list_applications": ("GET", PROJECT + "/applications", "ListApplicationsResponse"),
    "get_application": ("GET", APPLICATION, "Application"),
    "create_application": ("POST", PROJECT + "/applications", "Application"),
    "update_application": ("PATCH", APPLICATION, "Application"),
    "restart_application": ("POST", APPLICATION + ":restart", "Application"),
    "stop_application": ("POST", APPLICATION + ":stop", "Application"),
    "list_runtimes": ("GET", "/api/v2/runtimes", "ListRuntimesResponse"),
    "list_all_accelerator_node_labels": ("GET", "/api/v2/nodelabels", "ListAllAcceleratorsNodeLabelsResponse"),
    "list_registered_models": ("GET", "/api/v2/registry/models", "ListRegisteredModelsResponse"),
    "get_registered_model": ("GET", "/api/v2/registry/models/{model_id}", "RegisteredModel"),
    "create_registered_model": ("POST", "/api/v2/registry/models", "RegisteredModel"),
    "list_experiments": ("GET", PROJECT + "/experiments", "ListExperimentsResponse"),
    "get_experiment": ("GET", EXPERIMENT, "Experiment"),
    "create_experiment": ("POST", PROJECT + "/experiments", "Experiment"),
    "list_experiment_runs": ("GET", EXPERIMENT + "/runs", "ListExperimentRunsResponse"),
    "get_experiment_run": ("GET", RUN, "ExperimentRun"),
    "create_experiment_run": ("POST", EXPERIMENT + "/runs", "ExperimentRun"),
    "get_experiment_run_metrics": ("GET", RUN + "/metrics/{metric_key}", "GetExperimentRunMetricsResponse"),
    "log_experiment_run_batch": ("POST", RUN + ":logbatch", "LogExperimentRunBatchResponse"),
}
