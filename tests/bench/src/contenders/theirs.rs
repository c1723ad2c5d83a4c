//! Other people's clients.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, Full as FullBody};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::Contender;
use crate::sample::{self, Bare};

pub(crate) struct HyperUtil {
    client: Client<HttpConnector, FullBody<Bytes>>,
    bare: Bare,
}

impl Contender for HyperUtil {
    fn new(server: SocketAddr) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, bare: Bare::new(format!("http://{server}/v1/calls").parse()?) })
    }

    async fn call(&self) -> Result<()> {
        let response = self.client.request(self.bare.request().map(FullBody::new)).await?;
        ensure!(response.status().is_success(), "not a success");
        ensure!(response.into_body().collect().await?.to_bytes().len() == sample::REPLY.len(), "cut off");
        Ok(())
    }
}

pub(crate) struct Reqwest {
    client: reqwest::Client,
    url: reqwest::Url,
    body: Bytes,
}

impl Contender for Reqwest {
    fn new(server: SocketAddr) -> Result<Self> {
        let url = format!("http://{server}/v1/calls").parse()?;
        let body = Bytes::from_static(sample::BODY.as_bytes());
        Ok(Self { client: reqwest::Client::builder().build()?, url, body })
    }

    async fn call(&self) -> Result<()> {
        let request = self.client.post(self.url.clone());
        let request = request
            .header(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"))
            .header(header::ACCEPT, header::HeaderValue::from_static("application/json"))
            .header(header::AUTHORIZATION, header::HeaderValue::from_static(sample::BEARER));
        let response = request.body(self.body.clone()).send().await?;
        ensure!(response.status().is_success(), "not a success");
        ensure!(response.bytes().await?.len() == sample::REPLY.len(), "cut off");
        Ok(())
    }
}

pub(crate) struct Telnyx(telnyx::Client);

impl Contender for Telnyx {
    fn new(server: SocketAddr) -> Result<Self> {
        let client = telnyx::Client::builder().api_key("bench-key-0001");
        Ok(Self(client.base_url(format!("http://{server}/v2")).build()?))
    }

    async fn call(&self) -> Result<()> {
        let params = telnyx::calls::DialParams {
            to: Some(sample::TO.to_owned()),
            from: Some("+14155550199".to_owned()),
            connection_id: Some("0001".to_owned()),
            ..Default::default()
        };
        let call = self.0.calls().dial(params).await?;
        ensure!(call.call_control_id.is_some(), "no id");
        Ok(())
    }
}
