# TensorFlow Serving with one model inside: what `usgland export` wrote, with the
# configuration that lies beside it. Nothing but the base image is fetched.
#
#   usgland export runs/squeeze-1 --name squeeze
#   docker build --file scripts/containers/serving.Dockerfile --tag squeeze \
#       --build-arg MODEL=squeeze saved_models
#   docker run --rm --read-only --cap-drop ALL --publish 127.0.0.1:8500:8500 \
#       --publish 127.0.0.1:8501:8501 squeeze
#
# To mount the models instead, `operator/` has a Compose and a Kubernetes file.
FROM tensorflow/serving:2.19.1
ARG MODEL
# Another user than root reads them, whatever rights they have here.
COPY --chown=65534:65534 ${MODEL} /models/${MODEL}
COPY --chown=65534:65534 ${MODEL}/operator/models.config \
    ${MODEL}/operator/monitoring.config /models/
USER 65534:65534
EXPOSE 8500 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8501"]
CMD ["--model_config_file=/models/models.config", \
    "--monitoring_config_file=/models/monitoring.config", \
    "--allow_version_labels_for_unavailable_models=true", \
    "--rest_api_timeout_in_ms=30000"]
