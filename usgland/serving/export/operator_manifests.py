"""How a container of TensorFlow Serving is run: for Docker Compose and Kubernetes."""

import re
from typing import Any
from urllib.parse import quote

from usgland.serving.interface.versions import LABELS

# The last version known to us. The graph's operations are older; it was not run in it.
IMAGE = "tensorflow/serving:2.19.1"
GRPC, REST = 8500, 8501  # its ports
MODELS = "/models"  # where it finds all models
NOBODY = 65534  # no root: it only reads
# Most that one container may take; an image of 16 megapixels needs half a gigabyte.
PROCESSORS, MEMORY = 2, "4Gi"
REPLICAS = (2, 6)  # least and most of them


def arguments(name: str) -> list[str]:
    """What TensorFlow Serving is told, beside the ports that it knows."""
    folder = f"{MODELS}/{name}/operator"
    return [
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--model_config_file_poll_wait_seconds=30",
        LABELS,
        "--rest_api_timeout_in_ms=30000",
    ]


def compose(name: str) -> dict[str, Any]:
    """The Compose file of a model; it stands in `NAME/operator`."""
    ports = [f"127.0.0.1:{port}:{port}" for port in (GRPC, REST)]
    probe = f"exec 3<>/dev/tcp/127.0.0.1/{REST}"
    return {
        "services": {
            "serving": {
                "image": IMAGE,
                "command": arguments(name),
                "ports": ports,
                "volumes": [f"../..:{MODELS}:ro"],
                "user": f"{NOBODY}:{NOBODY}",
                "read_only": True,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "restart": "unless-stopped",
                "mem_limit": MEMORY.replace("Gi", "g"),
                "cpus": PROCESSORS,
                "healthcheck": {
                    "test": ["CMD", "bash", "-c", probe],
                    "interval": "10s",
                    "timeout": "3s",
                    "start_period": "60s",
                },
            }
        }
    }


def kubernetes(name: str) -> list[dict[str, Any]]:
    """Deployment, Service and HorizontalPodAutoscaler of a model."""
    own = kubernetes_name(name)
    labels = {"app.kubernetes.io/name": own}
    least, most = REPLICAS
    ports = {"grpc": GRPC, "rest": REST}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": own, "labels": labels},
            "spec": {
                # No `replicas`: to apply it again would undo the autoscaler.
                "selector": {"matchLabels": labels},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
                },
                "template": {"metadata": {"labels": labels}, "spec": _pod(name)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": own, "labels": labels},
            "spec": {
                "type": "ClusterIP",
                "selector": labels,
                "ports": [
                    {"name": key, "port": port, "targetPort": key}
                    for key, port in ports.items()
                ],
            },
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": own, "labels": labels},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": own,
                },
                "minReplicas": least,
                "maxReplicas": most,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 70},
                        },
                    }
                ],
            },
        },
    ]


def kubernetes_name(name: str) -> str:
    """A name of lower-case letters, digits and hyphens, as Kubernetes wants it."""
    bare = re.sub("[^a-z0-9]+", "-", name.lower())[:50].strip("-")
    return f"usgland-{bare or 'model'}"


def _pod(name: str) -> dict[str, Any]:
    # Metadata are there once the model is loaded and warmed up; its status before.
    ready = f"/v1/models/{quote(name)}/metadata"
    started = {"httpGet": {"path": ready, "port": "rest"}}
    return {
        "terminationGracePeriodSeconds": 60,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "serving",
                "image": IMAGE,
                "args": arguments(name),
                "ports": [
                    {"name": "grpc", "containerPort": GRPC},
                    {"name": "rest", "containerPort": REST},
                ],
                "startupProbe": {
                    **started,
                    "periodSeconds": 2,
                    "failureThreshold": 60,
                },
                "readinessProbe": {**started, "periodSeconds": 5},
                "livenessProbe": {
                    "tcpSocket": {"port": "grpc"},
                    "periodSeconds": 10,
                    "failureThreshold": 6,
                },
                "resources": {
                    "requests": {"cpu": "500m", "memory": "1Gi"},
                    "limits": {"cpu": str(PROCESSORS), "memory": MEMORY},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "models", "mountPath": MODELS, "readOnly": True}
                ],
            }
        ],
        "volumes": [
            {
                "name": "models",
                "persistentVolumeClaim": {
                    "claimName": "usgland-models",
                    "readOnly": True,
                },
            }
        ],
    }
