"""What each type of the API is made of: names of fields, with the type where it is no text (as the SDK of version 24.05 reads them)."""

from __future__ import annotations

RESOURCES = "cpu:float memory:float"
RUNTIME = "runtime_identifier runtime_addon_identifiers"
DATES = "created_at:date updated_at:date"
TYPES = {
    "Job": f"id name script arguments type kernel environment {RESOURCES} nvidia_gpu:int {DATES} creator:ShortUser"
    f" owner:ShortUser project:ShortProject engine_image_id english_schedule parent_id paused schedule timeout timezone"
    f" {RUNTIME} kill_on_timeout run_as:int accelerator_label_id",
    "JobRun": f"project_id job_id status id created_at:date scheduling_at:date starting_at:date running_at:date finished_at:date"
    f" kernel {RESOURCES} nvidia_gpu:int arguments environment creator:ShortUser runtime_identifier",
    "Project": f"id name owner:ShortUser creator:ShortUser description visibility default_engine_type {DATES} creation_status"
    " permissions shared_memory_limit:int environment ephemeral_storage_request:int ephemeral_storage_limit:int",
    "Model": f"id name description creator:ShortUser access_key deletion_status {DATES} crn auth_enabled project:ShortProject"
    " registered_model_id visibility default_resources:DefaultResources"
    " default_replication_policy:DefaultReplicationPolicy run_as:int accelerator_label_id",
    "ModelBuild": f"id model_id creator:ShortUser comment file_path function_name engine_image kernel {DATES} status"
    f" deletion_status crn built_at:date {RUNTIME} registered_model_version_id",
    "ModelDeployment": f"project_id model_id build_id id {RESOURCES} nvidia_gpu:int environment {DATES} stopped_at:date crn"
    " deployer:ShortUser status replicas:int",
    "Application": f"id name description creator:ShortUser script subdomain status {DATES} stopped_at:date starting_at:date"
    f" running_at:date kernel {RESOURCES} nvidia_gpu:int bypass_authentication environment {RUNTIME} run_as:int cdv_app"
    " accelerator_label_id",
    "Runtime": "image_identifier editor kernel edition description full_version status register_user_id:int",
    "AcceleratorNodeLabel": f"id label_key label_value availability max_gpu_count current_gpu_count max_gpu_per_workload {DATES}",
    "Experiment": f"id project_id name artifact_location {DATES} tags:[Tag] lifecycle_stage user:ShortUser",
    "ExperimentRun": "id experiment_id user:ShortUser status start_time:date end_time:date artifact_uri data:ExperimentRunData",
    "ExperimentRunData": "metrics:[Metric] params:[Tag] tags:[Tag] files registered_model_metadata",
    "Metric": "key value:float timestamp:date step",
    "Tag": "key value",
    "RegisteredModel": f"model_id name description owner:ShortUser permission visibility {DATES} count:int"
    " model_versions:[RegisteredModelVersion] next_page_token",
    "RegisteredModelDetails": f"model_id name description owner:ShortUser permission visibility {DATES} count:int next_page_token",
    "RegisteredModelVersion": f"model_id model_version_id version_name number:int notes user:ShortUser {DATES} status"
    " model_version_metadata:ModelVersionMetadata tags:[Tag]",
    "ModelVersionMetadata": "mlops_type tags:[Tag] workspace_url project_id owner:ShortUser mlflow_metadata:MLflowMetadata simple_metadata",
    "MLflowMetadata": "experiment_id run_id metrics:[Metric] params:[Tag] tags:[Tag]",
    "ShortUser": "username name email",
    "ShortProject": "public_identifier name default_project_engine slug",
    "DefaultResources": "cpu_millicores memory_mb nvidia_gpus",
    "DefaultReplicationPolicy": "num_replicas type",
    "ListJobsResponse": "jobs:[Job] next_page_token",
    "ListJobRunsResponse": "job_runs:[JobRun] next_page_token",
    "ListModelsResponse": "models:[Model] next_page_token",
    "ListModelBuildsResponse": "model_builds:[ModelBuild] next_page_token",
    "ListModelDeploymentsResponse": "model_deployments:[ModelDeployment] next_page_token",
    "ListApplicationsResponse": "applications:[Application] next_page_token",
    "ListRuntimesResponse": "runtimes:[Runtime] next_page_token",
    "ListAllAcceleratorsNodeLabelsResponse": "accelerator_node_label:[AcceleratorNodeLabel] next_page_token",
    "ListExperimentsResponse": "experiments:[Experiment] next_page_token",
    "ListExperimentRunsResponse": "experiment_runs:[ExperimentRun] next_page_token",
    "GetExperimentRunMetricsResponse": "metrics:[Metric]",
    "ListRegisteredModelsResponse": "models:[RegisteredModelDetails] next_page_token",
    "LogExperimentRunBatchResponse": "",
    "DeleteJobResponse": "",
    "DeleteModelResponse": "",
    # Requests.
    "CreateJobRequest": f"project_id name script {RESOURCES} nvidia_gpu:int parent_job_id environment arguments timeout:int schedule"
    f" kernel recipients attachments {RUNTIME} kill_on_timeout timezone paused parent_id success_recipients"
    " failure_recipients timeout_recipients stopped_recipients run_as:int accelerator_label_id",
    "CreateJobRunRequest": "project_id job_id environment arguments",
    "CreateModelRequest": "project_id name description disable_authentication registered_model_id run_as:int visibility"
    " auto_build_config auto_deployment_config auto_build_model auto_deploy_model accelerator_label_id",
    "ShortCreateModelDeployment": f"{RESOURCES} nvidia_gpus:int environment replicas:int",
    "CreateModelBuildRequest": f"project_id model_id comment file_path function_name kernel {RUNTIME} registered_model_version_id"
    " auto_deployment_config auto_deploy_model",
    "CreateModelDeploymentRequest": f"project_id model_id build_id {RESOURCES} nvidia_gpus:int environment replicas:int",
    "CreateApplicationRequest": f"project_id name subdomain description script {RESOURCES} nvidia_gpu:int environment kernel"
    f" bypass_authentication {RUNTIME} run_as:int cdv_app accelerator_label_id",
    "CreateRegisteredModelRequest": "project_id experiment_id run_id model_path model_name tags description notes visibility",
    "CreateExperimentRequest": "project_id name tags artifact_location engine_id",
    "CreateExperimentRunRequest": "project_id experiment_id tags",
    "LogExperimentRunBatchRequest": "project_id experiment_id run_id metrics params tags model_json",
}
