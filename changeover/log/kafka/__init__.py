"""The log on Kafka: how it runs for real, over many machines.

| topic | cleanup | holds |
|---|---|---|
| `<pipeline>.<schema>.<table>` | delete | changes by the row's key, in Kafka's own partitions |
| `<pipeline>.progress` | delete | watermarks with end offsets |
| `<pipeline>.control` | compact | identity, topics, table definitions, capture's checkpoint |

Capture appends in transactions of one transactional id, so a newer capture fences it. Import workers have
ids of their own. A producer after an error is thrown away, for the outcome of its transaction is not known.
Members of a group note beside each offset that they commit which watermark its partitions have passed; what
the group has applied through is the earliest of these notes.
"""
