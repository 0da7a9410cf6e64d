import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface NchanPlace {
  readonly folder: string
  readonly port: number
  /** File of the module. */
  readonly module: string
}

/**
 * Writes the configuration of an nginx with one worker and Nchan's store in memory. Messages come over HTTP, to a location
 * `/publish/<room>`: Nchan cannot hear a plain PUBLISH. Its Redis mode takes them over HTTP too and sends each through
 * Redis and back, which costs nginx more, so this is the mode that is kinder to it. It keeps as many messages
 * as the server does, for as long, and pings as rarely as everyone here.
 *
 * @returns the file
 */
export function writeNchanConfig ({ folder, port, module }: NchanPlace): string {
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, `
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log stderr error;
load_module ${module};
events { worker_connections 19900; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  nchan_shared_memory_size 512M;
  nchan_message_buffer_length 500;
  nchan_message_timeout 1h;
  server {
    listen 127.0.0.1:${port};
    location = /health/ready { return 200; }
    location ~ ^/rooms/(.+)$ {
      nchan_subscriber eventsource;
      nchan_subscriber_first_message newest;
      nchan_subscriber_timeout 0;
      nchan_eventsource_ping_interval 0;
      nchan_channel_id $1;
    }
    location ~ ^/publish/(.+)$ {
      nchan_publisher;
      nchan_channel_id $1;
    }
  }
}
`)
  return file
}
