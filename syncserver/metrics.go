package syncserver

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skerry/shared/wire"
)

// metrics is what /metrics tells. The names are stable; labels hold codes, frame kinds and digests of modules, never identities,
// spaces or anything else that a client chooses, and are few.
type metrics struct {
	registry *prometheus.Registry

	connections    prometheus.Gauge
	opened         prometheus.Counter
	closed         *prometheus.CounterVec // by code
	accepted       prometheus.Counter     // records
	duplicates     prometheus.Counter     // transactions
	rejections     *prometheus.CounterVec // transactions, by code
	deferrals      *prometheus.CounterVec // transactions, by code
	refused        prometheus.Counter     // requests
	turnedAway     prometheus.Counter     // connections
	created        prometheus.Counter
	appends        prometheus.Histogram // seconds
	batch          prometheus.Histogram // records
	appendErrors   prometheus.Counter
	damaged        prometheus.Counter // reads
	fanout         prometheus.Counter // records sent to subscribers
	tailFrames     prometheus.Counter // frames taken ready from the hot tail
	hot            prometheus.Gauge
	received       prometheus.Counter // bytes
	sent           prometheus.Counter // bytes
	ephemerals     prometheus.Counter
	ephemeralsLost prometheus.Counter
	panics         prometheus.Counter
	applyErrors    prometheus.Counter
	checkpoints    prometheus.Counter
	unusable       prometheus.Counter // checkpoints
	collected      prometheus.Counter // modules
	recovering     prometheus.Gauge
	adopted        prometheus.Counter   // records
	expired        prometheus.Counter   // expiries whose payloads are freed
	modules        *prometheus.GaugeVec // spaces, by module
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "skerry_" + name, Help: help})
	}
	counters := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "skerry_" + name, Help: help}, []string{"code"})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "skerry_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "skerry_" + name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		registry:     prometheus.NewRegistry(),
		connections:  gauge("connections", "Sockets that are open."),
		opened:       counter("connections_opened_total", "Sockets that were accepted."),
		closed:       counters("connections_closed_total", "Sockets that were closed, by the code the client was told."),
		accepted:     counter("records_accepted_total", "Records that were made durable."),
		duplicates:   counter("transactions_duplicate_total", "Transactions that were known already."),
		rejections:   counters("transactions_rejected_total", "Transactions that were rejected, by code."),
		deferrals:    counters("transactions_deferred_total", "Transactions that were deferred, by code."),
		refused:      counter("requests_refused_total", "Sockets and requests that were refused since there were too many from their address."),
		turnedAway:   counter("connections_turned_away_total", "Connections that were closed before they asked for anything, since there were too many."),
		created:      counter("spaces_created_total", "Spaces that were created."),
		appends:      histogram("append_seconds", "Time from handing a batch to the log until it was durable.", prometheus.ExponentialBuckets(0.0001, 2, 16)),
		batch:        histogram("append_records", "Records in one batch of one space.", prometheus.ExponentialBuckets(1, 4, 8)),
		appendErrors: counter("append_errors_total", "Batches that the log did not take."),
		damaged:      counter("log_damaged_total", "Reads that found something else in the log than was made durable. Nothing of it was sent."),
		fanout:       counter("records_sent_total", "Records that were sent to subscribers."),
		tailFrames:   counter("tail_frames_total", "Frames for subscribers that were taken ready-made from memory."),
		hot:          gauge("spaces_hot", "Spaces that are loaded."),
		received:     counter("received_bytes_total", "Bytes of messages from clients."),
		sent:         counter("sent_bytes_total", "Bytes of messages to clients."),
		applyErrors:  counter("apply_errors_total", "Spaces whose log could not be applied to their tables."),
		checkpoints:  counter("checkpoints_total", "Checkpoints of spaces that were kept."),
		unusable:     counter("checkpoints_unusable_total", "Checkpoints that could not be used, so that the log was applied instead."),
		collected:    counter("modules_collected_total", "Modules that were deleted because nobody used them."),
		expired:      counter("expiries_total", "Times that the first records of a space expired, and their payloads were freed."),
		modules: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "skerry_module_spaces",
			Help: "Spaces that a module judges, when the server began and then by the hour. It is a built-in's name, or the beginning of the digest of one of the 20 others that judge most; what is left is other.",
		}, []string{"module"}),
		ephemerals:     counter("ephemerals_total", "Ephemerals that clients sent and that were relayed."),
		ephemeralsLost: counter("ephemerals_lost_total", "Ephemerals that one reader was not sent, or nobody, since something else came first."),
		recovering:     gauge("recovering", "1 while nobody writes, since the log was restored and replicas may bring back what it lacks."),
		adopted:        counter("records_adopted_total", "Records that the log had lost and that replicas brought back."),
		panics:         counter("panics_total", "Panics that ended one connection or one space's batch."),
	}
	m.registry.MustRegister(m.connections, m.opened, m.closed, m.accepted, m.duplicates, m.rejections, m.deferrals, m.refused, m.turnedAway, m.created,
		m.appends, m.batch, m.appendErrors, m.damaged, m.fanout, m.tailFrames, m.hot, m.received, m.sent, m.panics, m.applyErrors, m.checkpoints, m.unusable, m.collected, m.modules, m.expired, m.ephemerals, m.ephemeralsLost, m.recovering, m.adopted,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// verdict counts one verdict on a transaction. Accepted records are counted where they become durable.
func (m *metrics) verdict(v *wire.Verdict) {
	switch v.Kind {
	case wire.Duplicate:
		m.duplicates.Inc()
	case wire.Rejected:
		m.rejections.WithLabelValues(label(v.Code)).Inc()
	case wire.Deferred:
		m.deferrals.WithLabelValues(label(v.Code)).Inc()
	}
}

// label returns a code as metrics have it. The codes of modules are one: they tell of what is in a space, and whoever uploads a
// module could make as many series of them as they like.
func label(c wire.Code) string {
	if c > wire.CodeModuleOwn {
		return "module"
	}
	return c.String()
}
