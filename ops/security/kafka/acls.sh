# The rights of icehaul's users on a broker with an authorizer. Run it with the tools of Kafka on the path, as an administrator
# of the cluster, with the names of your topics, of your group, and of a file with the administrator's own credentials:
#   export SERVERS=kafka.example:9093 ADMIN=admin.properties TOPIC=icehaul.events DEAD=icehaul.events.dead GROUP=icehaul
#   sh ops/security/kafka/acls.sh
# Users themselves are made by kafka-configs.sh: --alter --entity-type users --entity-name icehaul-consumer
#   --add-config 'SCRAM-SHA-512=[password=…]'

# `icehaul emit`, and other producers of events: they send. Write contains Describe, and the right to send idempotently.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-producer --operation Write --topic "$TOPIC"

# `icehaul run`: reads events as a member of the group, and sends those that a publish leaves in the outbox.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-consumer --operation Read --operation Write --topic "$TOPIC"
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-consumer --operation Read --group "$GROUP"

# It puts away what can never be handled.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-consumer --operation Write --topic "$DEAD"

# `icehaul topics` makes both topics and compares them; `icehaul dlq` reads dead letters, sends them again and notes that.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-operator --operation Create --operation DescribeConfigs --operation Read --operation Write --topic "$TOPIC"
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-operator --operation Create --operation DescribeConfigs --operation Read --operation Write --topic "$DEAD"

# `icehaul doctor` joins a group of its own (icehaul.doctor.…) and removes it; it reads no event.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-operator --operation Read --operation Delete --resource-pattern-type prefixed --group "$GROUP.doctor."

# A replay sets the group's offsets back (kafka-consumer-groups.sh --reset-offsets) while no member runs.
kafka-acls.sh --bootstrap-server "$SERVERS" --command-config "$ADMIN" --add --allow-principal User:icehaul-operator --operation Read --operation Describe --group "$GROUP"
