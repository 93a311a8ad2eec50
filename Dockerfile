# One image for all roles; which one a container has, its command says.
#
#   docker build -t tensormux:cpu .                       (TensorFlow for CPUs)
#   docker build -t tensormux:gpu --build-arg gpu=1 .     (TensorFlow with CUDA; needs the NVIDIA container toolkit to run)
#
#   docker run -p 8500:8500 -p 8501:8501 -v /path/to/half_plus_two:/models/half_plus_two -e MODEL_NAME=half_plus_two \
#       tensormux:cpu --enable_batching                   (a whole server, as with TensorFlow Serving's image)
#   docker run ... tensormux:cpu python -m workers        (any other command is started as it stands)

FROM python:3.11-slim AS build
ARG gpu=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tensormux
WORKDIR /src
# First the dependencies, with a project that has no code yet: a change of the code then does not fetch them again.
COPY pyproject.toml README.md LICENSE ./
RUN case "$gpu" in 0) extra=cpu ;; 1) extra=gpu ;; *) echo "gpu must be 0 or 1, not '$gpu'" >&2; exit 1 ;; esac \
    && /opt/tensormux/bin/pip install ".[$extra]"
COPY protos protos
COPY control control
COPY frontend frontend
COPY workers workers
RUN /opt/tensormux/bin/pip install --no-deps --force-reinstall . && /opt/tensormux/bin/tensormux --version

FROM python:3.11-slim
RUN groupadd --gid 10001 tensormux \
    && useradd --uid 10001 --gid 10001 --create-home tensormux \
    && install -d -o tensormux -g tensormux /models \
    && install -d -o tensormux -g tensormux -m 700 /keys \
    # The names of TensorFlow Serving's image, which manifests and scripts start.
    && ln -s /opt/tensormux/bin/tensorflow_model_server /usr/bin/tensorflow_model_server \
    && printf '#!/bin/sh\nexec /opt/tensormux/bin/python -P -m control.docker "$@"\n' > /usr/bin/tf_serving_entrypoint.sh \
    && chmod 755 /usr/bin/tf_serving_entrypoint.sh
COPY --from=build /opt/tensormux /opt/tensormux
ENV PATH=/opt/tensormux/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_BASE_PATH=/models \
    MODEL_NAME=model
USER 10001:10001
# gRPC and REST.
EXPOSE 8500 8501
# No HEALTHCHECK: what health means depends on the role and on the flags; docker-compose.yml and deploy/ have one each.
ENTRYPOINT ["python", "-P", "-m", "control.docker"]
