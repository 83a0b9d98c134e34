/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic that no packaged program makes: small UDP frames in batches, short connections, ping-pong, first packets and
 * many flows. What was seen is one line of JSON; times are nanoseconds. Servers say "ready" and run until they are ended.
 *
 *   traffic udp-send ADDRESS PORT MS            frames of 64 bytes of one flow, as fast as they go
 *   traffic udp-count PORT IDLE_MS              counts what comes until nothing has come for IDLE_MS
 *   traffic udp-flows FROM TO PORT FIRST COUNT  one frame each of COUNT flows, from source port FIRST on
 *   traffic udp-echo PORT
 *   traffic udp-first ADDRESS PORT COUNT        first and second round trip of COUNT flows
 *   traffic tcp-serve PORT                      answers one request of each connection and closes it
 *   traffic tcp-connect ADDRESS PORT MS COUNT   connections, COUNT at a time: connect, request, response, close
 *   traffic tcp-echo PORT
 *   traffic tcp-pingpong ADDRESS PORT MS        one byte to and fro
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
/* With Ethernet, IPv4 and UDP a frame of 64 bytes. */
#define PAYLOAD_BYTES 22
#define REQUEST_BYTES 64
#define SAMPLES_MAX 1000000
#define BUFFER_BYTES (64 << 20)
/* A receiver of many packets looks by the clock: woken for each, it would cost the sender more than the path does. */
#define LOOK_US 200

static void die(const char *what)
{
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int checked(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Of this process, with what the kernel did on its behalf: on these beds the whole way to the receiver's socket. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct sockaddr_in address_of(const char *ip, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, ip, &to.sin_addr) != 1) {
		fprintf(stderr, "traffic: %s is no IPv4 address\n", ip);
		exit(2);
	}
	return to;
}

static int open_socket(int type)
{
	return checked(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket");
}

static int connected(int type, struct sockaddr_in to)
{
	int fd = open_socket(type);

	checked(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	return fd;
}

static void ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

static int bound(int type, int port)
{
	struct sockaddr_in own = address_of("0.0.0.0", port);
	int fd = open_socket(type), one = 1, bytes = BUFFER_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	checked(bind(fd, (struct sockaddr *)&own, sizeof(own)), "bind");
	return fd;
}

static int listening(int port)
{
	int fd = bound(SOCK_STREAM | SOCK_NONBLOCK, port);

	checked(listen(fd, 4096), "listen");
	ready();
	return fd;
}

static void wait_at_most(int fd, int ms)
{
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t part_of(int64_t *sorted, int count, double part)
{
	return count ? sorted[(int)(part * (count - 1) + 0.5)] : 0;
}

static void print_parts(const char *name, int64_t *samples, int count)
{
	qsort(samples, count, sizeof(*samples), by_value);
	printf("\"%sP50\":%ld,\"%sP99\":%ld,", name, part_of(samples, count, 0.5), name, part_of(samples, count, 0.99));
}

/* ---- UDP ----------------------------------------------------------------------------------------------- */

static void udp_send(struct sockaddr_in to, int ms)
{
	int fd = connected(SOCK_DGRAM, to);
	char payload[PAYLOAD_BYTES] = { 0 };
	struct iovec part = { payload, sizeof(payload) };
	struct mmsghdr batch[BATCH] = { 0 };
	uint64_t sent = 0, start = now_ns(), end = start + ms * 1000000ull;

	for (int i = 0; i < BATCH; i++)
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
	while (now_ns() < end) {
		int count = sendmmsg(fd, batch, BATCH, 0);
		if (count > 0)
			sent += count;
	}
	printf("{\"packets\":%lu,\"ns\":%lu,\"cpuNs\":%lu}\n", sent, now_ns() - start, cpu_ns());
}

static void udp_count(int port, int idle_ms)
{
	int fd = bound(SOCK_DGRAM, port);
	char payload[BATCH][64];
	struct iovec parts[BATCH];
	struct mmsghdr batch[BATCH] = { 0 };
	uint64_t packets = 0, first = 0, last = 0, now = 0;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ payload[i], sizeof(payload[i]) };
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	ready();
	while (!packets || now - last < idle_ms * 1000000ull) {
		int count = recvmmsg(fd, batch, BATCH, MSG_DONTWAIT, NULL);
		now = now_ns();
		if (count <= 0) {
			usleep(LOOK_US);
			continue;
		}
		last = now;
		if (!packets)
			first = now;
		packets += count;
	}
	printf("{\"packets\":%lu,\"ns\":%lu}\n", packets, last - first);
}

struct flow_packet {
	struct iphdr ip;
	struct udphdr udp;
	char payload[PAYLOAD_BYTES];
};

static void udp_flows(const char *from, struct sockaddr_in to, int first, int count)
{
	int fd = checked(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), "socket");
	struct flow_packet packets[BATCH] = { 0 };
	struct iovec parts[BATCH];
	struct mmsghdr batch[BATCH] = { 0 };
	int sent = 0;

	for (int i = 0; i < BATCH; i++) {
		packets[i].ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
			.saddr = address_of(from, 0).sin_addr.s_addr, .daddr = to.sin_addr.s_addr };
		packets[i].udp.dest = to.sin_port;
		packets[i].udp.len = htons(sizeof(struct udphdr) + PAYLOAD_BYTES);
		parts[i] = (struct iovec){ &packets[i], sizeof(packets[i]) };
		batch[i].msg_hdr = (struct msghdr){
			.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	while (sent < count) {
		int wanted = count - sent < BATCH ? count - sent : BATCH;
		for (int i = 0; i < wanted; i++)
			packets[i].udp.source = htons(first + sent + i);
		int done = sendmmsg(fd, batch, wanted, 0);
		if (done < 0 && errno != ENOBUFS && errno != EAGAIN)
			die("send");
		sent += done > 0 ? done : 0;
	}
	printf("{\"packets\":%d,\"ns\":0}\n", sent);
}

static void udp_echo(int port)
{
	int fd = bound(SOCK_DGRAM, port);
	char payload[2048];
	struct sockaddr_in from;

	ready();
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t bytes = recvfrom(fd, payload, sizeof(payload), 0, (struct sockaddr *)&from, &length);
		if (bytes >= 0)
			sendto(fd, payload, bytes, 0, (struct sockaddr *)&from, length);
	}
}

/* Returns 0 when no answer came. */
static int64_t round_trip(int fd)
{
	char payload[PAYLOAD_BYTES] = { 0 };
	uint64_t start = now_ns();

	if (send(fd, payload, sizeof(payload), 0) < 0 || recv(fd, payload, sizeof(payload), 0) < 0)
		return 0;
	return now_ns() - start;
}

static void udp_first(struct sockaddr_in to, int count)
{
	int64_t *first = calloc(count, sizeof(*first)), *added = calloc(count, sizeof(*added));
	int seen = 0;

	for (int i = 0; i < count; i++) {
		int fd = connected(SOCK_DGRAM, to);
		wait_at_most(fd, 1000);
		int64_t a = round_trip(fd), b = a ? round_trip(fd) : 0;
		if (b) {
			first[seen] = a;
			added[seen++] = a - b;
		}
		close(fd);
		usleep(2000);
	}
	printf("{");
	print_parts("first", first, seen);
	print_parts("added", added, seen);
	printf("\"lost\":%d}\n", count - seen);
}

/* ---- TCP ----------------------------------------------------------------------------------------------- */

static void watch(int poll_fd, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	epoll_ctl(poll_fd, op, fd, &event);
}

/* `once`: close after one answer. */
static void tcp_answer(int port, int once)
{
	int listener = listening(port), poll_fd = epoll_create1(0), one = 1;
	struct epoll_event events[256];
	char request[REQUEST_BYTES];

	watch(poll_fd, EPOLL_CTL_ADD, listener, EPOLLIN);
	for (;;) {
		int count = epoll_wait(poll_fd, events, 256, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
					watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN);
				}
				continue;
			}
			ssize_t bytes = read(fd, request, sizeof(request));
			if (bytes > 0)
				bytes = write(fd, request, bytes);
			if (bytes <= 0 || once)
				close(fd);
		}
	}
}

static int begin_connection(int poll_fd, struct sockaddr_in to)
{
	int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
		close(fd);
		return 0;
	}
	watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT);
	return 1;
}

static void tcp_connect(struct sockaddr_in to, int ms, int at_a_time)
{
	int poll_fd = epoll_create1(0), under_way = 0;
	struct epoll_event events[256];
	char buffer[REQUEST_BYTES] = { 0 };
	uint64_t done = 0, failed = 0, start = now_ns(), end = start + ms * 1000000ull;

	while (now_ns() < end) {
		while (under_way < at_a_time) {
			int begun = begin_connection(poll_fd, to);
			under_way += begun;
			if (begun)
				continue;
			failed++;
			break;
		}
		int count = epoll_wait(poll_fd, events, 256, 10);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			ssize_t bytes = -1;
			if (events[i].events & EPOLLOUT) {
				bytes = write(fd, buffer, sizeof(buffer));
				if (bytes > 0) {
					watch(poll_fd, EPOLL_CTL_MOD, fd, EPOLLIN);
					continue;
				}
			} else if (events[i].events & EPOLLIN) {
				bytes = read(fd, buffer, sizeof(buffer));
				if (bytes > 0)
					continue;
			}
			done += bytes == 0;
			failed += bytes < 0;
			close(fd);
			under_way--;
		}
	}
	printf("{\"connections\":%lu,\"failed\":%lu,\"ns\":%lu,\"cpuNs\":%lu}\n", done, failed, now_ns() - start,
	       cpu_ns());
}

static void tcp_pingpong(struct sockaddr_in to, int ms)
{
	int fd = connected(SOCK_STREAM, to), one = 1, count = 0;
	int64_t *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	uint64_t end = now_ns() + ms * 1000000ull;
	char byte = 0;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	wait_at_most(fd, 2000);
	while (now_ns() < end && count < SAMPLES_MAX) {
		uint64_t start = now_ns();
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("ping-pong");
		samples[count++] = now_ns() - start;
	}
	printf("{");
	print_parts("rr", samples, count);
	printf("\"count\":%d}\n", count);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
#define IS(name, words) (!strcmp(what, name) && argc == (words) + 2)
#define NUMBER(at) atoi(argv[at])

	if (IS("udp-send", 3))
		udp_send(address_of(argv[2], NUMBER(3)), NUMBER(4));
	else if (IS("udp-count", 2))
		udp_count(NUMBER(2), NUMBER(3));
	else if (IS("udp-flows", 5))
		udp_flows(argv[2], address_of(argv[3], NUMBER(4)), NUMBER(5), NUMBER(6));
	else if (IS("udp-echo", 1))
		udp_echo(NUMBER(2));
	else if (IS("udp-first", 3))
		udp_first(address_of(argv[2], NUMBER(3)), NUMBER(4));
	else if (IS("tcp-serve", 1))
		tcp_answer(NUMBER(2), 1);
	else if (IS("tcp-echo", 1))
		tcp_answer(NUMBER(2), 0);
	else if (IS("tcp-connect", 4))
		tcp_connect(address_of(argv[2], NUMBER(3)), NUMBER(4), NUMBER(5));
	else if (IS("tcp-pingpong", 3))
		tcp_pingpong(address_of(argv[2], NUMBER(3)), NUMBER(4));
	else {
		fprintf(stderr, "traffic: see the head of traffic.c for what there is\n");
		return 2;
	}
	return 0;
}
