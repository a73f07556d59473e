"""The guide's seven tables, and the studio's own"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table('configs',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('config', sa.Text(), nullable=True),
    sa.Column('model_family', sa.String(), nullable=True),
    sa.Column('is_default', sa.Integer(), nullable=True),
    sa.Column('content_hash', sa.String(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_configs')),
    sa.UniqueConstraint('content_hash', name=op.f('uq_configs_content_hash'))
    )
    with op.batch_alter_table('configs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_configs_type'), ['type'], unique=False)

    op.create_table('datasets',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('huggingface_name', sa.String(), nullable=True),
    sa.Column('location', sa.Text(), nullable=True),
    sa.Column('features', sa.Text(), nullable=True),
    sa.Column('rows', sa.BigInteger(), nullable=True),
    sa.Column('bytes', sa.BigInteger(), nullable=True),
    sa.Column('sha256', sa.String(), nullable=True),
    sa.Column('revision', sa.String(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_datasets')),
    sa.UniqueConstraint('huggingface_name', name=op.f('uq_datasets_huggingface_name')),
    sa.UniqueConstraint('name', name=op.f('uq_datasets_name'))
    )
    op.create_table('events',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('at', sa.Double(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('level', sa.String(), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('resource_id', sa.String(), nullable=False),
    sa.Column('data', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.create_index('ix_events_resource_id', ['resource_id', 'id'], unique=False)

    op.create_table('inbox',
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('payload_hash', sa.String(), nullable=False),
    sa.Column('reply', sa.Text(), nullable=False),
    sa.Column('at', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_inbox'))
    )
    with op.batch_alter_table('inbox', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_inbox_at'), ['at'], unique=False)

    op.create_table('jobs',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('engine', sa.String(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('spec', sa.JSON(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('cpus', sa.Integer(), nullable=False),
    sa.Column('gpus', sa.Integer(), nullable=False),
    sa.Column('memory', sa.Integer(), nullable=False),
    sa.Column('workers', sa.Integer(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('accepted', sa.BigInteger(), nullable=False),
    sa.Column('losses', sa.Integer(), nullable=False),
    sa.Column('runner_id', sa.String(), nullable=True),
    sa.Column('lease_expires_at', sa.Double(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('queued_at', sa.Double(), nullable=False),
    sa.Column('started_at', sa.Double(), nullable=True),
    sa.Column('finished_at', sa.Double(), nullable=True),
    sa.Column('error', sa.JSON(), nullable=True),
    sa.Column('phase', sa.String(), nullable=True),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('total_steps', sa.Integer(), nullable=True),
    sa.Column('eta_seconds', sa.Double(), nullable=True),
    sa.Column('tokens_per_second', sa.Double(), nullable=True),
    sa.Column('last_metrics', sa.JSON(), nullable=True),
    sa.Column('checkpoint', sa.String(), nullable=True),
    sa.Column('summary', sa.JSON(), nullable=True),
    sa.Column('cancelled', sa.JSON(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs'))
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index('ix_jobs_created_at', ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_jobs_runner_id'), ['runner_id'], unique=False)
        batch_op.create_index('ix_jobs_status_priority', ['status', 'priority', 'queued_at'], unique=False)

    op.create_table('meta',
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_meta'))
    )
    op.create_table('metrics',
    sa.Column('job_id', sa.String(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('value', sa.Double(), nullable=False),
    sa.Column('at', sa.Double(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('job_id', 'name', 'step', name=op.f('pk_metrics'))
    )
    op.create_table('models',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('framework', sa.String(), nullable=True),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('huggingface_model_name', sa.String(), nullable=True),
    sa.Column('location', sa.String(), nullable=True),
    sa.Column('cml_registered_model_id', sa.String(), nullable=True),
    sa.Column('mlflow_experiment_id', sa.String(), nullable=True),
    sa.Column('mlflow_run_id', sa.String(), nullable=True),
    sa.Column('revision', sa.String(), nullable=True),
    sa.Column('family', sa.String(), nullable=True),
    sa.Column('files', sa.JSON(), nullable=True),
    sa.Column('bytes', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_models')),
    sa.UniqueConstraint('huggingface_model_name', name=op.f('uq_models_huggingface_model_name')),
    sa.UniqueConstraint('name', name=op.f('uq_models_name'))
    )
    op.create_table('runners',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('incarnation', sa.Integer(), nullable=False),
    sa.Column('host', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('cpus', sa.Integer(), nullable=False),
    sa.Column('memory', sa.Double(), nullable=False),
    sa.Column('gpus', sa.JSON(), nullable=False),
    sa.Column('labels', sa.JSON(), nullable=False),
    sa.Column('engines', sa.JSON(), nullable=False),
    sa.Column('trusted', sa.Boolean(), nullable=False),
    sa.Column('draining', sa.Boolean(), nullable=False),
    sa.Column('lost', sa.Boolean(), nullable=False),
    sa.Column('free', sa.JSON(), nullable=True),
    sa.Column('telemetry', sa.JSON(), nullable=True),
    sa.Column('registered_at', sa.Double(), nullable=False),
    sa.Column('last_seen_at', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runners'))
    )
    op.create_table('prompts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('dataset_id', sa.String(), nullable=True),
    sa.Column('prompt_template', sa.String(), nullable=True),
    sa.Column('input_template', sa.String(), nullable=True),
    sa.Column('completion_template', sa.String(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_prompts_dataset_id'), ondelete='NO ACTION', initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prompts')),
    sa.UniqueConstraint('name', name=op.f('uq_prompts_name'))
    )
    with op.batch_alter_table('prompts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_prompts_dataset_id'), ['dataset_id'], unique=False)

    op.create_table('fine_tuning_jobs',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('base_model_id', sa.String(), nullable=True),
    sa.Column('dataset_id', sa.String(), nullable=True),
    sa.Column('prompt_id', sa.String(), nullable=True),
    sa.Column('num_workers', sa.Integer(), nullable=True),
    sa.Column('cml_job_id', sa.String(), nullable=True),
    sa.Column('adapter_id', sa.String(), nullable=True),
    sa.Column('num_cpu', sa.Integer(), nullable=True),
    sa.Column('num_gpu', sa.Integer(), nullable=True),
    sa.Column('num_memory', sa.Integer(), nullable=True),
    sa.Column('num_epochs', sa.Integer(), nullable=True),
    sa.Column('learning_rate', sa.Double(), nullable=True),
    sa.Column('out_dir', sa.String(), nullable=True),
    sa.Column('training_arguments_config_id', sa.String(), nullable=True),
    sa.Column('model_bnb_config_id', sa.String(), nullable=True),
    sa.Column('adapter_bnb_config_id', sa.String(), nullable=True),
    sa.Column('lora_config_id', sa.String(), nullable=True),
    sa.Column('training_arguments_config', sa.String(), nullable=True),
    sa.Column('model_bnb_config', sa.String(), nullable=True),
    sa.Column('adapter_bnb_config', sa.String(), nullable=True),
    sa.Column('lora_config', sa.String(), nullable=True),
    sa.Column('dataset_fraction', sa.Double(), nullable=True),
    sa.Column('train_test_split', sa.Double(), nullable=True),
    sa.Column('user_script', sa.String(), nullable=True),
    sa.Column('user_config_id', sa.String(), nullable=True),
    sa.Column('framework_type', sa.String(), nullable=True),
    sa.Column('axolotl_config_id', sa.String(), nullable=True),
    sa.Column('gpu_label_id', sa.Integer(), nullable=True),
    sa.Column('adapter_name', sa.String(), nullable=True),
    sa.Column('auto_add_adapter', sa.Boolean(), nullable=True),
    sa.Column('dist_cpu', sa.Integer(), nullable=True),
    sa.Column('dist_gpu', sa.Integer(), nullable=True),
    sa.Column('dist_mem', sa.Integer(), nullable=True),
    sa.Column('max_length', sa.Integer(), nullable=True),
    sa.Column('packing', sa.Boolean(), nullable=True),
    sa.Column('loss_on', sa.String(), nullable=True),
    sa.Column('length_grouped', sa.Boolean(), nullable=True),
    sa.ForeignKeyConstraint(['adapter_bnb_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_adapter_bnb_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['axolotl_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_axolotl_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['base_model_id'], ['models.id'], name=op.f('fk_fine_tuning_jobs_base_model_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_fine_tuning_jobs_dataset_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['lora_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_lora_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['model_bnb_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_model_bnb_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['prompt_id'], ['prompts.id'], name=op.f('fk_fine_tuning_jobs_prompt_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['training_arguments_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_training_arguments_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['user_config_id'], ['configs.id'], name=op.f('fk_fine_tuning_jobs_user_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_fine_tuning_jobs'))
    )
    with op.batch_alter_table('fine_tuning_jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_adapter_bnb_config_id'), ['adapter_bnb_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_adapter_id'), ['adapter_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_adapter_name'), ['adapter_name'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_axolotl_config_id'), ['axolotl_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_base_model_id'), ['base_model_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_dataset_id'), ['dataset_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_lora_config_id'), ['lora_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_model_bnb_config_id'), ['model_bnb_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_prompt_id'), ['prompt_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_training_arguments_config_id'), ['training_arguments_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_fine_tuning_jobs_user_config_id'), ['user_config_id'], unique=False)

    op.create_table('adapters',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('name', sa.String(), nullable=True),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('huggingface_name', sa.String(), nullable=True),
    sa.Column('model_id', sa.String(), nullable=True),
    sa.Column('location', sa.Text(), nullable=True),
    sa.Column('fine_tuning_job_id', sa.String(), nullable=True),
    sa.Column('prompt_id', sa.String(), nullable=True),
    sa.Column('cml_registered_model_id', sa.String(), nullable=True),
    sa.Column('mlflow_experiment_id', sa.String(), nullable=True),
    sa.Column('mlflow_run_id', sa.String(), nullable=True),
    sa.Column('revision', sa.String(), nullable=True),
    sa.Column('files', sa.JSON(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['fine_tuning_job_id'], ['fine_tuning_jobs.id'], name=op.f('fk_adapters_fine_tuning_job_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_adapters_model_id'), ondelete='NO ACTION', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['prompt_id'], ['prompts.id'], name=op.f('fk_adapters_prompt_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_adapters')),
    sa.UniqueConstraint('name', name=op.f('uq_adapters_name'))
    )
    with op.batch_alter_table('adapters', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_adapters_fine_tuning_job_id'), ['fine_tuning_job_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_adapters_model_id'), ['model_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_adapters_prompt_id'), ['prompt_id'], unique=False)

    op.create_table('evaluation_jobs',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=True),
    sa.Column('cml_job_id', sa.String(), nullable=True),
    sa.Column('parent_job_id', sa.String(), nullable=True),
    sa.Column('base_model_id', sa.String(), nullable=True),
    sa.Column('dataset_id', sa.String(), nullable=True),
    sa.Column('prompt_id', sa.String(), nullable=True),
    sa.Column('num_workers', sa.Integer(), nullable=True),
    sa.Column('adapter_id', sa.String(), nullable=True),
    sa.Column('num_cpu', sa.Integer(), nullable=True),
    sa.Column('num_gpu', sa.Integer(), nullable=True),
    sa.Column('num_memory', sa.Integer(), nullable=True),
    sa.Column('evaluation_dir', sa.String(), nullable=True),
    sa.Column('model_bnb_config_id', sa.String(), nullable=True),
    sa.Column('adapter_bnb_config_id', sa.String(), nullable=True),
    sa.Column('generation_config_id', sa.String(), nullable=True),
    sa.Column('model_bnb_config', sa.String(), nullable=True),
    sa.Column('adapter_bnb_config', sa.String(), nullable=True),
    sa.Column('generation_config', sa.String(), nullable=True),
    sa.Column('run_number', sa.Integer(), nullable=True),
    sa.Column('status', sa.String(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('scores', sa.JSON(), nullable=True),
    sa.Column('rows', sa.Integer(), nullable=True),
    sa.Column('answers', sa.String(), nullable=True),
    sa.Column('selected_features', sa.JSON(), nullable=True),
    sa.Column('eval_dataset_fraction', sa.Double(), nullable=True),
    sa.Column('comparison_adapter_id', sa.String(), nullable=True),
    sa.Column('started_at', sa.Double(), nullable=True),
    sa.Column('finished_at', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['adapter_bnb_config_id'], ['configs.id'], name=op.f('fk_evaluation_jobs_adapter_bnb_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['adapter_id'], ['adapters.id'], name=op.f('fk_evaluation_jobs_adapter_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['base_model_id'], ['models.id'], name=op.f('fk_evaluation_jobs_base_model_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_evaluation_jobs_dataset_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['generation_config_id'], ['configs.id'], name=op.f('fk_evaluation_jobs_generation_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['model_bnb_config_id'], ['configs.id'], name=op.f('fk_evaluation_jobs_model_bnb_config_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.ForeignKeyConstraint(['prompt_id'], ['prompts.id'], name=op.f('fk_evaluation_jobs_prompt_id'), ondelete='SET NULL', initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_evaluation_jobs'))
    )
    with op.batch_alter_table('evaluation_jobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_adapter_bnb_config_id'), ['adapter_bnb_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_adapter_id'), ['adapter_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_base_model_id'), ['base_model_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_dataset_id'), ['dataset_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_generation_config_id'), ['generation_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_model_bnb_config_id'), ['model_bnb_config_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_parent_job_id'), ['parent_job_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_evaluation_jobs_prompt_id'), ['prompt_id'], unique=False)

    # The two tables name each other: the second link comes when both are there.
    with op.batch_alter_table('fine_tuning_jobs', schema=None) as batch_op:
        batch_op.create_foreign_key(op.f('fk_fine_tuning_jobs_adapter_id'), 'adapters', ['adapter_id'], ['id'], ondelete='SET NULL', initially='DEFERRED', deferrable=True)


def downgrade() -> None:
    """Go back to the revision before."""
    with op.batch_alter_table('fine_tuning_jobs', schema=None) as batch_op:
        batch_op.drop_constraint(op.f('fk_fine_tuning_jobs_adapter_id'), type_='foreignkey')

    with op.batch_alter_table('evaluation_jobs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_prompt_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_parent_job_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_model_bnb_config_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_generation_config_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_dataset_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_base_model_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_adapter_id'))
        batch_op.drop_index(batch_op.f('ix_evaluation_jobs_adapter_bnb_config_id'))

    op.drop_table('evaluation_jobs')
    with op.batch_alter_table('adapters', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_adapters_prompt_id'))
        batch_op.drop_index(batch_op.f('ix_adapters_model_id'))
        batch_op.drop_index(batch_op.f('ix_adapters_fine_tuning_job_id'))

    op.drop_table('adapters')
    with op.batch_alter_table('fine_tuning_jobs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_user_config_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_training_arguments_config_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_prompt_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_model_bnb_config_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_lora_config_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_dataset_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_base_model_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_axolotl_config_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_adapter_name'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_adapter_id'))
        batch_op.drop_index(batch_op.f('ix_fine_tuning_jobs_adapter_bnb_config_id'))

    op.drop_table('fine_tuning_jobs')
    with op.batch_alter_table('prompts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_prompts_dataset_id'))

    op.drop_table('prompts')
    op.drop_table('runners')
    op.drop_table('models')
    op.drop_table('metrics')
    op.drop_table('meta')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_status_priority')
        batch_op.drop_index(batch_op.f('ix_jobs_runner_id'))
        batch_op.drop_index('ix_jobs_created_at')

    op.drop_table('jobs')
    with op.batch_alter_table('inbox', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_inbox_at'))

    op.drop_table('inbox')
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.drop_index('ix_events_resource_id')

    op.drop_table('events')
    op.drop_table('datasets')
    with op.batch_alter_table('configs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_configs_type'))

    op.drop_table('configs')
