#!/bin/sh
# Make a database and an account for each program that keeps its state in PostgreSQL. None can enter another's.
set -eu
for name in prefect mlflow expunge; do
  eval "password=\$DATABASE_PASSWORD_$(echo "$name" | tr '[:lower:]' '[:upper:]')"
  psql --set ON_ERROR_STOP=1 --set name="$name" --set password="$password" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
