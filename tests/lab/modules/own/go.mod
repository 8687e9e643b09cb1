// Small programs of the lab's own, one folder each.
module replank.dev/lab/own

go 1.26.0

