"""Records of other systems, mapped to changes: Debezium, CloudEvents and S3 notifications on a topic of their own."""
