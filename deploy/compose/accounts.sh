# Run by the image's entrypoint (bash) at the first start, before source.sql: the accounts whose passwords are secrets.
for name in application operator; do
    docker_process_sql <<<"CREATE USER $name@'%' IDENTIFIED BY '$(cat "/run/secrets/${name}_password")'"
done
