#!/bin/bash
# Cloudera ML runs this in the image of a model that it builds: what gpu_runner/predict.py, an endpoint's script, imports.
# (In a larger project, where the studio lies in fine-tuning-studio/, the project's own cdsw-build.sh calls it.)
set -e
cd "$(dirname "${BASH_SOURCE[0]}")"
pip install --no-cache-dir -c constraints.txt torch transformers peft accelerate safetensors mlflow
