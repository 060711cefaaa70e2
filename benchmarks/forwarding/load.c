/* Load for the data plane's figures: servers and clients that cost little beside what is measured.
 *
 *   load serve PORT                        echo (TCP PORT), discard (TCP PORT + 1), discard (UDP PORT); until killed
 *   load bulk ADDRESS PORT SECONDS         one stream to a discarding port:   bit/s
 *   load connect ADDRESS PORT SECONDS N    N clients, connect + 64 bytes and back + reset:   connections/s, failures
 *   load request ADDRESS PORT SECONDS N    64 bytes and back over N connections in turn:   requests/s, p50 us, p99 us
 *   load datagrams ADDRESS PORT SECONDS    64-byte datagrams of one flow:   sent/s
 *
 * Prints one line of numbers. cc -O2 -pthread.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CHUNK = 128 << 10, CLIENTS = 64, SAMPLES = 1 << 20 };

static struct sockaddr_storage peer;
static socklen_t peer_length;
static double deadline;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void set(int socket, int level, int option, int value)
{
    setsockopt(socket, level, option, &value, sizeof value);
}

/* --- servers */

static int listening(int type, int port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int found = socket(AF_INET6, type, 0);
    set(found, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set(found, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(found, (struct sockaddr *)&any, sizeof any) || (type == SOCK_STREAM && listen(found, 4096)))
        die("listen");
    return found;
}

static void watch(int poll, int socket)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
    epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event);
}

static _Noreturn void *serve_streams(void *argument)
{
    int port = *(int *)argument, poll = epoll_create1(0), echo = listening(SOCK_STREAM, port);
    struct epoll_event events[256];
    char buffer[4096];
    watch(poll, echo);
    for (;;) {
        int count = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int socket = events[i].data.fd;
            if (socket == echo) {
                int client = accept4(echo, 0, 0, SOCK_NONBLOCK);
                if (client < 0)
                    continue;
                set(client, IPPROTO_TCP, TCP_NODELAY, 1);
                watch(poll, client);
                continue;
            }
            ssize_t length = read(socket, buffer, sizeof buffer);
            if (length <= 0 || write(socket, buffer, length) != length)
                close(socket);
        }
    }
}

static void *discard_stream(void *argument)
{
    int socket = (long)argument;
    char *buffer = malloc(2 * CHUNK);
    while (read(socket, buffer, 2 * CHUNK) > 0)
        ;
    close(socket);
    free(buffer);
    return 0;
}

static _Noreturn void *serve_bulk(void *argument)
{
    int discard = listening(SOCK_STREAM, *(int *)argument + 1);
    for (;;) {
        pthread_t thread;
        long client = accept(discard, 0, 0);
        if (client >= 0 && !pthread_create(&thread, 0, discard_stream, (void *)client))
            pthread_detach(thread);
    }
}

static _Noreturn void serve(int port)
{
    pthread_t thread;
    char buffer[2048];
    int datagrams = listening(SOCK_DGRAM, port);
    set(datagrams, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
    pthread_create(&thread, 0, serve_streams, &port);
    pthread_create(&thread, 0, serve_bulk, &port);
    for (;;)
        recv(datagrams, buffer, sizeof buffer, 0);
}

/* --- clients */

static int connected(int type)
{
    struct timeval patience = {.tv_sec = 2};
    int found = socket(peer.ss_family, type, 0);
    set(found, IPPROTO_TCP, TCP_NODELAY, 1);
    setsockopt(found, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(found, (struct sockaddr *)&peer, peer_length)) {
        close(found);
        return -1;
    }
    return found;
}

static int ask(int socket)
{
    char message[MESSAGE] = {0};
    return write(socket, message, MESSAGE) == MESSAGE && recv(socket, message, MESSAGE, MSG_WAITALL) == MESSAGE;
}

static void bulk(void)
{
    char *buffer = calloc(1, CHUNK);
    int socket = connected(SOCK_STREAM);
    double start = now(), total = 0;
    if (socket < 0)
        die("connect");
    while (now() < deadline) {
        ssize_t length = write(socket, buffer, CHUNK);
        if (length < 0)
            die("write");
        total += length;
    }
    printf("%.0f\n", total * 8 / (now() - start));
}

struct client {
    pthread_t thread;
    long done, failed;
};

static void *connect_again(void *argument)
{
    struct client *client = argument;
    struct linger reset = {.l_onoff = 1};
    while (now() < deadline) {
        int socket = connected(SOCK_STREAM), answered = socket >= 0 && ask(socket);
        client->done += answered;
        client->failed += !answered;
        if (socket >= 0) {
            setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(socket);
        }
    }
    return 0;
}

static void connections(int clients)
{
    struct client each[CLIENTS] = {0};
    long done = 0, failed = 0;
    double start = now();
    for (int i = 0; i < clients; i++)
        pthread_create(&each[i].thread, 0, connect_again, &each[i]);
    for (int i = 0; i < clients; i++) {
        pthread_join(each[i].thread, 0);
        done += each[i].done;
        failed += each[i].failed;
    }
    printf("%.0f %ld\n", done / (now() - start), failed);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void requests(int clients)
{
    static double samples[SAMPLES];
    int sockets[CLIENTS];
    long count = 0;
    for (int i = 0; i < clients; i++)
        if ((sockets[i] = connected(SOCK_STREAM)) < 0 || !ask(sockets[i]))
            die("connect");
    double start = now();
    while (now() < deadline && count < SAMPLES) {
        double before = now();
        if (!ask(sockets[count % clients]))
            die("request");
        samples[count++] = now() - before;
    }
    double elapsed = now() - start;
    qsort(samples, count, sizeof *samples, compare);
    printf("%.0f %.2f %.2f\n", count / elapsed, samples[count / 2] * 1e6, samples[count * 99 / 100] * 1e6);
}

static void datagrams(void)
{
    char message[MESSAGE] = {0};
    int socket = connected(SOCK_DGRAM);
    long sent = 0;
    double start = now();
    if (socket < 0)
        die("connect");
    while (now() < deadline)
        for (int i = 0; i < 64; i++)
            sent += send(socket, message, MESSAGE, 0) == MESSAGE;
    printf("%.0f\n", sent / (now() - start));
}

int main(int count, char **words)
{
    signal(SIGPIPE, SIG_IGN);
    if (count == 3 && !strcmp(words[1], "serve"))
        serve(atoi(words[2]));
    if (count < 5) {
        fprintf(stderr, "usage: see the head of load.c\n");
        return 2;
    }
    int port = htons(atoi(words[3])), clients = count > 5 ? atoi(words[5]) : 1;
    struct sockaddr_in *v4 = (void *)&peer;
    struct sockaddr_in6 *v6 = (void *)&peer;
    if (inet_pton(AF_INET, words[2], &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET, v4->sin_port = port, peer_length = sizeof *v4;
    } else if (inet_pton(AF_INET6, words[2], &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6, v6->sin6_port = port, peer_length = sizeof *v6;
    } else {
        errno = EINVAL;
        die(words[2]);
    }
    deadline = now() + atof(words[4]);
    if (clients < 1 || clients > CLIENTS)
        die("clients");
    if (!strcmp(words[1], "bulk"))
        bulk();
    else if (!strcmp(words[1], "connect"))
        connections(clients);
    else if (!strcmp(words[1], "request"))
        requests(clients);
    else if (!strcmp(words[1], "datagrams"))
        datagrams();
}
